-- An installed OpenResty is used in the place of the system's nginx and LuaJIT.  Here a tree
-- stands for one that is laid out in the same way, of links to what this run uses.
local http = require "spec.abi.http"
local shell = require "spec.abi.shell"
local stdlib = require "posix.stdlib"

-- What make sets for its children, and what this run was told itself.
local CLEAN = "env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL -u SUBMAKE -u BUILD -u OPENRESTY -u LUAJIT"
    .. " -u TANDEM_NGINX"

-- Debian's nginx has Lua as a module, and OpenResty's has it built in, so that nobody names it in a
-- configuration.
local NGINX = [[
#!/bin/sh
modules='%s'
for argument; do
    shift
    if [ "$last" = -g ]; then
        argument="$modules $argument" modules=
    fi
    last=$argument
    set -- "$@" "$argument"
done
[ -z "$modules" ] || set -- "$@" -g "$modules"
exec %s "$@"
]]

local function path_of(program)
    return (shell.must("command -v %s", shell.quote(program)):gsub("%s+$", ""))
end

local function make_openresty(folder)
    local tree = folder .. "/openresty"
    local program = tree .. "/nginx/sbin/nginx"
    shell.must("mkdir -p %s/nginx/sbin %s/luajit/bin %s/lualib", tree, tree, tree)
    shell.must("ln -s %s %s/luajit/bin/luajit", path_of(shell.luajit), tree)
    shell.write_file(program, NGINX:format(http.modules():gsub("\n", " "),
        path_of(os.getenv("TANDEM_NGINX") or "nginx")))
    shell.must("chmod -R a+rX %s && chmod 755 %s", folder, program)
    return tree
end

-- What the Makefile takes; in its own words, for a shell.
local function taken(settings, wrapper)
    return shell.must("%s %s %s make -s --eval 'taken:; @echo $(LUAJIT) $(TANDEM_NGINX)' taken",
        wrapper or "", CLEAN, settings)
end

describe("an OpenResty", function()
    local folder, tree

    setup(function()
        folder = shell.make_folder()
        tree = make_openresty(folder)
    end)
    teardown(function() shell.remove_folder(folder) end)

    it("that is named is taken, but for what is named otherwise", function()
        local nginx, luajit = tree .. "/nginx/sbin/nginx", tree .. "/luajit/bin/luajit"
        assert.equal(luajit .. " " .. nginx .. "\n", taken("OPENRESTY=" .. tree))
        assert.equal("other " .. nginx .. "\n", taken("LUAJIT=other OPENRESTY=" .. tree))
        assert.equal(luajit .. " other\n", taken("TANDEM_NGINX=other OPENRESTY=" .. tree))
        assert.equal("luajit nginx\n", taken("OPENRESTY="))
    end)

    it("in /usr/local is found", function()
        -- For this command alone there is something else at /usr/local.
        local wrapper = (shell.must("id -u") == "0\n" and "unshare" or "unshare --map-root-user")
            .. " --mount sh -c 'mount -t tmpfs tmpfs /usr/local && %s && exec \"$@\"' sh"
        local there = "/usr/local/openresty"
        assert.equal(there .. "/luajit/bin/luajit " .. there .. "/nginx/sbin/nginx\n",
            taken("", wrapper:format("ln -s " .. tree .. " " .. there)))
        assert.equal("luajit nginx\n", taken("", wrapper:format("true")))
    end)

    it("needs neither the system's nginx nor its LuaJIT", function()
        local stubs = folder .. "/stubs"
        shell.must("mkdir %s", stubs)
        for name, answer in pairs({ ["dpkg-query"] = "exit 1", id = "echo 1000",
                                    sudo = "echo asked: $*", ["apt-get"] = "exit 1" }) do
            shell.write_file(stubs .. "/" .. name, "#!/bin/sh\n" .. answer .. "\n")
            shell.must("chmod 755 %s/%s", stubs, name)
        end
        local function wanted(openresty)
            return shell.must("PATH=%s:$PATH OPENRESTY=%s tools/deps", stubs, openresty)
        end
        assert.is_truthy(wanted(""):find("asked: sh tools/deps install .* luajit nginx "))
        local without = wanted(tree)
        assert.is_truthy(without:find("asked: sh tools/deps install gcc ", 1, true), without)
        assert.is_nil(without:find("nginx", 1, true), without)
        assert.is_nil(without:find(" luajit", 1, true), without)
    end)

    it("serves what was installed into its lualib, with no module to load", function()
        shell.must("%s make install OPENRESTY=%s PREFIX=%s/prefix LUA_LIB_DIR=%s/lualib", CLEAN,
            tree, folder, tree)
        local before = { OPENRESTY = os.getenv("OPENRESTY"),
                         TANDEM_NGINX = os.getenv("TANDEM_NGINX") }
        local home = folder .. "/web"
        shell.must("mkdir %s", home)
        finally(function()
            http.stop(home)
            stdlib.setenv("OPENRESTY", before.OPENRESTY)
            stdlib.setenv("TANDEM_NGINX", before.TANDEM_NGINX)
        end)
        stdlib.setenv("OPENRESTY", tree)
        stdlib.setenv("TANDEM_NGINX", tree .. "/nginx/sbin/nginx")
        http.start(home, ([[
            lua_package_path "LUALIB/?.lua;;";
            lua_package_cpath "LUALIB/?.so;;";
            server {
                listen unix:socket;
                location = /get { content_by_lua_block {
                    local cache = assert(require("resty.tandem").new("there", { memory = "1m" }))
                    assert(cache:set("key", "value"))
                    ngx.say(cache:get("key"), " ", require("resty.tandem.lib").path)
                } }
            }
        ]]):gsub("LUALIB", tree .. "/lualib"))
        assert.is_nil(shell.read_file(home .. "/nginx.conf"):find("load_module", 1, true))
        local status, body = http.get(home .. "/socket", "/get")
        assert.equal("200 value " .. tree .. "/lualib/libtandem.so\n", status .. " " .. body)
    end)
end)
