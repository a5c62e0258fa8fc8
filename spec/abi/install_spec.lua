-- An installed tree works with only package paths set, from an empty folder.
local http = require "spec.abi.http"
local shell = require "spec.abi.shell"

-- What make sets for its children would change what the makes below do.
local MAKE = "env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL -u SUBMAKE -u BUILD"

local VERSION = require("resty.tandem")._VERSION

local SCRIPT = [[
    local tandem = require "resty.tandem"
    local cache = assert(tandem.new("installed", { memory = "1m" }))
    assert(cache:set("key", "value"))
    local value, err, tier = cache:get("key")
    assert(not err, err)
    print(value, tier, require("resty.tandem.lib").path)
    cache:close()
]]

-- In nginx one request sets and another, of any worker, gets.
local HTTP = [[
    lua_package_path "%s/?.lua;;";
    lua_package_cpath "%s/?.so;;";
    init_by_lua_block {
        assert(require("resty.tandem").new("installed", { memory = "1m" }))
    }
    server {
        listen unix:socket;
        location = /set { content_by_lua_block {
            local cache = assert(require("resty.tandem").new("installed", { memory = "1m" }))
            ngx.say(cache:set("key", "value"))
        } }
        location = /get { content_by_lua_block {
            local cache = assert(require("resty.tandem").new("installed", { memory = "1m" }))
            local value, err, tier = cache:get("key")
            ngx.say(value, " ", tier or err, " ", require("resty.tandem.lib").path)
        } }
        location = /yieldable { content_by_lua_block {
            local lib = require "resty.tandem.lib"
            local sorting
            table.sort({ 1, 2 }, function(a, b) sorting = lib.is_yieldable() return a < b end)
            ngx.say(lib.is_yieldable(), " ", sorting)
        } }
    }
    server {
        listen unix:socket-without-code-cache;
        lua_code_cache off;
        location = /get { content_by_lua_block {
            local cache = assert(require("resty.tandem").new("installed", { memory = "1m" }))
            ngx.say((cache:get("key")))
        } }
    }
]]

local C_PROGRAM = [[
#include <stdio.h>
#include <string.h>
#include <tandem.h>

int main(void)
{
    tandem_options options;
    tandem_cache *cache;
    tandem_result result;
    char buffer[16], error[256] = "";

    tandem_options_init(&options);
    options.name = "from-c";
    options.memory_bytes = 1 << 20;
    if (tandem_open(&options, &cache, error, sizeof(error)) != TANDEM_OK) {
        puts(error);
        return 1;
    }
    if (tandem_set(cache, "key", 3, "value", 5, 0, 0, &result) != TANDEM_OK ||
        tandem_get(cache, "key", 3, 0, buffer, sizeof(buffer), &result) != TANDEM_OK) {
        puts(result.error);
        return 1;
    }
    printf("%.*s\n", (int)result.length, buffer);
    tandem_close(cache);
    return 0;
}
]]

describe("an installed tree", function()
    local folder, prefix

    before_each(function()
        folder = shell.make_folder()
        prefix = folder .. "/prefix"
        shell.must("chmod 755 %s && mkdir %s/empty", folder, folder)
    end)

    after_each(function()
        shell.remove_folder(folder)
    end)

    local function check_luajit(lua_dir, lib_dir)
        local output = shell.lua(folder .. "/empty", lua_dir .. "/?.lua", lib_dir .. "/?.so",
            SCRIPT)
        assert.equal("value\tmemory\t" .. lib_dir .. "/libtandem.so\n", output)
    end

    local function check_nginx(lua_dir, lib_dir)
        local home = folder .. "/nginx"
        shell.must("mkdir %s", home)
        finally(function() http.stop(home) end)
        http.start(home, HTTP:format(lua_dir, lib_dir))

        local socket = home .. "/socket"
        local status, body = http.get(socket, "/set")
        assert.equal("200 true\n", status .. " " .. body)
        for _ = 1, 8 do
            status, body = http.get(socket, "/get")
            assert.equal("200 value memory " .. lib_dir .. "/libtandem.so\n", status .. " " .. body)
        end
        status, body = http.get(socket, "/yieldable")
        assert.equal("200 true false\n", status .. " " .. body)
        for _ = 1, 3 do
            status, body = http.get(home .. "/socket-without-code-cache", "/get")
            assert.equal("200 value\n", status .. " " .. body)
        end
    end

    -- Compiled as pkg-config says, with the library in a folder.
    local function check_c_program(lib_dir, environment)
        shell.write_file(folder .. "/program.c", C_PROGRAM)
        shell.must("cd %s && export PKG_CONFIG_PATH=%s/pkgconfig %s &&"
            .. " cc program.c $(pkg-config --cflags --libs tandem) -o program", folder, lib_dir,
            environment or "")
        assert.equal("value\n",
            shell.must("cd %s/empty && LD_LIBRARY_PATH=%s ../program", folder, lib_dir))
    end

    -- By itself: without LUA_PATH, from an empty folder, by a link.
    local function check_tool(place)
        shell.must("ln -s %s/bin/tandem %s/link", place, folder)
        local output = shell.must("cd %s/empty && env -i PATH=\"$PATH\" ../link --version", folder)
        assert.equal("tandem " .. VERSION .. "\n", output)
        shell.must("rm %s/link", folder)
    end

    it("works after make install, in LuaJIT and in nginx", function()
        shell.must("%s make install PREFIX=%s", MAKE, prefix)
        check_tool(prefix)
        check_luajit(prefix .. "/share/lua/5.1", prefix .. "/lib/lua/5.1")
        check_nginx(prefix .. "/share/lua/5.1", prefix .. "/lib/lua/5.1")
    end)

    it("works after make install with LUA_LIB_DIR, all in one folder", function()
        shell.must("%s make install PREFIX=%s LUA_LIB_DIR=%s/lualib", MAKE, prefix, prefix)
        check_tool(prefix)
        check_luajit(prefix .. "/lualib", prefix .. "/lualib")
    end)

    it("works after luarocks make, in LuaJIT and in nginx; and from a packed rock", function()
        local copy = folder .. "/copy"
        shell.must("mkdir %s && tar -cf - --exclude=./build --exclude=./.git --exclude=%s . |"
            .. " tar -xf - -C %s", copy, "./lua/resty/tandem/cdef.lua", copy)
        shell.must("cd %s && %s luarocks --lua-version 5.1 make --tree=%s", copy, MAKE, prefix)
        -- What is compiled already is not compiled again.
        shell.must("cd %s && %s make rock && mv build/*.rock %s", copy, MAKE, folder)
        shell.remove_folder(copy)
        check_tool(prefix)
        check_luajit(prefix .. "/share/lua/5.1", prefix .. "/lib/lua/5.1")
        check_nginx(prefix .. "/share/lua/5.1", prefix .. "/lib/lua/5.1")

        local tree = folder .. "/tree"
        shell.must("cd %s && luarocks --lua-version 5.1 install --only-server=%s/empty --tree=%s"
            .. " %s/lua-resty-tandem-%s-1.*.rock", folder, folder, tree, folder, VERSION)
        check_tool(tree)
        check_luajit(tree .. "/share/lua/5.1", tree .. "/lib/lua/5.1")
    end)

    -- A package for dpkg, in an empty root.
    it("works from a Debian package", function()
        shell.must("VERSION=%s DEBFULLNAME='A B' DEBEMAIL=a@example.org %s tools/deb %s", VERSION,
            MAKE, folder)
        local deb = shell.must("echo %s/*.deb", folder):gsub("%s+$", "")
        local function field(name)
            return (shell.must("dpkg-deb -f %s %s", deb, name):gsub("%s+$", ""))
        end
        assert.equal("A B <a@example.org>", field("Maintainer"))
        assert.equal(VERSION .. "-1", field("Version"))
        assert.truthy(field("Depends"):find("^libc6 %(>= [%d.]+%), libhiredis[%d.]+ %(>= [%d.]+%)"))

        shell.must("dpkg-deb -x %s %s && dpkg-deb -e %s %s/DEBIAN", deb, prefix, deb, folder)
        shell.must("cd %s && md5sum --quiet -c %s/DEBIAN/md5sums", prefix, folder)
        local lib_dir = prefix .. "/usr/lib/" .. shell.must("cc -print-multiarch"):gsub("%s+$", "")
        local said = shell.must(
            "LUA_CPATH='%s/lua/5.1/?.so' %s/usr/bin/tandem --version", lib_dir, prefix)
        assert.equal("tandem " .. VERSION .. "\n", said)
        check_luajit(prefix .. "/usr/share/lua/5.1", lib_dir .. "/lua/5.1")
        check_c_program(lib_dir, "PKG_CONFIG_SYSROOT_DIR=" .. prefix)
    end)

    it("is of one version, whatever it is packed in", function()
        local function rockspec(version)
            return shell.read_file("rockspec/lua-resty-tandem-" .. version .. "-1.rockspec")
        end
        local released = rockspec(VERSION)
        assert.truthy(released:find('\n   tag = "v' .. VERSION .. '",\n', 1, true))
        local function but_for_source(text)
            return text:gsub("\nversion = [^\n]*", ""):gsub("\nsource = %b{}", "")
        end
        assert.equal(but_for_source(rockspec("scm")), but_for_source(released))
        assert.truthy(shell.read_file("CHANGELOG.md"):find("\n> " .. VERSION .. ",", 1, true)
            or shell.read_file("CHANGELOG.md"):find("\n## [" .. VERSION .. "]", 1, true))
    end)

    it("serves a C program that asks pkg-config", function()
        shell.must("%s make install PREFIX=%s", MAKE, prefix)
        check_c_program(prefix .. "/lib")
        local version = shell.must("PKG_CONFIG_PATH=%s/lib/pkgconfig"
            .. " pkg-config --modversion tandem", prefix):gsub("%s+$", "")
        assert.equal(VERSION, version)
        assert.truthy(require("resty.tandem.lib").id:find(version .. "-", 1, true))
    end)

    it("is not needed by the tool in the source tree", function()
        check_tool(shell.must("pwd"):gsub("%s+$", ""))
    end)

    it("can be made below DESTDIR for a package", function()
        shell.must("%s make install PREFIX=/usr DESTDIR=%s", MAKE, prefix)
        shell.must("cmp %s/usr/lib/libtandem.so build/libtandem.so", prefix)
        local link = shell.must("readlink %s/usr/lib/libtandem.so", prefix)
        assert.equal("lua/5.1/libtandem.so\n", link)
        local config = shell.read_file(prefix .. "/usr/lib/pkgconfig/tandem.pc")
        assert.truthy(config:find("prefix=/usr\n", 1, true), config)
    end)
end)
