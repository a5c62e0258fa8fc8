-- The gate between the Lua files and the library: only a library built with these files is used.
local shell = require "spec.abi.shell"

local LUA_PATH = shell.root .. "/lua/?.lua"
local LIB_LUA = shell.root .. "/lua/resty/tandem/lib.lua"
local TRY = [[
    local ok, err = pcall(require, "resty.tandem.lib")
    print(ok and "accepted" or "refused: " .. err)
]]

local function fingerprint(header)
    return (shell.must("tools/cdef id %s", header):gsub("%s+$", ""))
end

-- A library of just what lib.lua asks, with this fingerprint, from this header.
local function build(folder, id, include, source)
    shell.must("cc -shared -fPIC -I%s -DTANDEM_ABI_FINGERPRINT='\"%s\"' -o %s/libtandem.so %s",
        include, id, folder, source or "c/src/abi.c c/src/lua_functions.c")
end

describe("resty.tandem.lib", function()
    local folder, library, wanted

    before_each(function()
        folder = shell.make_folder()
        library = folder .. "/libtandem.so"
        wanted = fingerprint("c/include/tandem.h")
    end)

    after_each(function()
        shell.remove_folder(folder)
    end)

    local function try(text)
        return (shell.lua(folder, LUA_PATH, folder .. "/?.so", text or TRY))
    end

    it("accepts a library of the same build", function()
        build(folder, wanted, "c/include")
        assert.equal("accepted\n", try())
    end)

    it("accepts the library of the source tree, found beside the Lua files", function()
        local output = shell.lua(folder, LUA_PATH, folder .. "/?.so",
            'print(require("resty.tandem.lib").path)')
        assert.equal(shell.root .. "/lua/resty/tandem/../../../build/libtandem.so\n", output)
    end)

    it("takes the library that TANDEM_LIBRARY names", function()
        build(folder, wanted, "c/include")
        local output = shell.must("cd %s && TANDEM_LIBRARY=libtandem.so LUA_PATH=%s %s -e %s",
            folder, shell.quote(LUA_PATH), shell.luajit,
            shell.quote('print(require("resty.tandem.lib").path)'))
        assert.equal("./libtandem.so\n", output)
    end)

    it("refuses a library with another fingerprint, naming both", function()
        build(folder, "0.0.9-123", "c/include")
        local output = try()
        assert.equal(1, (output:find("refused: ", 1, true)))
        assert.truthy(output:find(library .. " is build 0.0.9-123", 1, true), output)
        assert.truthy(output:find(LIB_LUA .. " needs build " .. wanted, 1, true), output)
    end)

    it("refuses a library without the symbol, naming both", function()
        shell.write_file(folder .. "/other.c", "int unrelated; int unrelated;\n")
        build(folder, "none", "c/include", folder .. "/other.c")
        local output = try()
        assert.equal(1, (output:find("refused: ", 1, true)))
        for _, part in ipairs { library, "tandem_abi_id", LIB_LUA .. " needs build " .. wanted } do
            assert.truthy(output:find(part, 1, true), output)
        end
    end)

    it("refuses a library with a struct one field larger, naming both", function()
        local header = shell.read_file("c/include/tandem.h")
        local changed, n = header:gsub("(typedef struct tandem_result {)", "%1 double one_more;")
        assert.equal(1, n)
        shell.write_file(folder .. "/tandem.h", changed)

        -- The fingerprint tells by itself ...
        local theirs = fingerprint(folder .. "/tandem.h")
        assert.not_equal(wanted, theirs)
        build(folder, theirs, folder)
        local output = try()
        assert.truthy(output:find(library .. " is build " .. theirs, 1, true), output)
        assert.truthy(output:find(LIB_LUA .. " needs build " .. wanted, 1, true), output)

        -- ... and if it did not, the size would.
        build(folder, wanted, folder)
        output = try()
        assert.equal(1, (output:find("refused: ", 1, true)))
        for _, part in ipairs { library .. " has a tandem_result of ", LIB_LUA .. " one of " } do
            assert.truthy(output:find(part, 1, true), output)
        end
    end)

    it("refuses a file that is no library, naming it and the reason", function()
        shell.write_file(library, "no library\n")
        local output = try()
        assert.truthy(output:find("refused: resty.tandem: " .. library .. " cannot be loaded: ", 1,
                                  true), output)
    end)

    it("says where it looked when there is no library", function()
        shell.must("mkdir -p %s/lua/resty && cp -r lua/resty/tandem %s/lua/resty/", folder, folder)
        local output = shell.lua(folder, folder .. "/lua/?.lua", folder .. "/a/?.so;/b/?.so", TRY)
        assert.equal(1, (output:find("refused: ", 1, true)))
        for _, part in ipairs { folder .. "/a/libtandem.so", "/b/libtandem.so", "make install" } do
            assert.truthy(output:find(part, 1, true), output)
        end
    end)

    it("says what to do when cdef.lua was not generated", function()
        shell.must("mkdir -p %s/lua/resty && cp -r lua/resty/tandem %s/lua/resty/", folder, folder)
        os.remove(folder .. "/lua/resty/tandem/cdef.lua")
        local output = shell.lua(folder, folder .. "/lua/?.lua", folder .. "/?.so", TRY)
        assert.truthy(output:find("run `make`", 1, true), output)
    end)

    it("refuses a VM that has another build's declarations", function()
        build(folder, wanted, "c/include")
        local output = try('require("ffi").cdef "typedef struct tandem_cache tandem_cache;"' .. TRY)
        assert.truthy(output:find("another build", 1, true), output)
    end)

    it("may be loaded again in the same VM", function()
        build(folder, wanted, "c/include")
        assert.equal("accepted\naccepted\n", try(TRY .. [[
            package.loaded["resty.tandem.lib"] = nil
            package.loaded["resty.tandem.cdef"] = nil
            collectgarbage()
        ]] .. TRY))
    end)
end)

describe("the fingerprint", function()
    local folder

    before_each(function() folder = shell.make_folder() end)
    after_each(function() shell.remove_folder(folder) end)

    local function of(header)
        shell.write_file(folder .. "/tandem.h", header)
        return fingerprint(folder .. "/tandem.h")
    end

    it("changes with a declaration, not with a comment or the layout", function()
        local header = shell.read_file("c/include/tandem.h")
        local function change(pattern, replacement)
            local changed, n = header:gsub(pattern, replacement, 1)
            assert.equal(1, n)
            return of(changed)
        end
        local id = of(header)

        assert.equal(id, fingerprint("c/include/tandem.h"))
        assert.equal(id, change("\nint tandem_get%(", "\n/* a comment */\nint\n  tandem_get("))
        assert.not_equal(id, change("TANDEM_MISS = 1", "TANDEM_MISS = 9"))
        assert.not_equal(id, change("int64_t ttl_ms, int flags", "double ttl_ms, int flags"))
        assert.not_equal(id, change('TANDEM_VERSION "', '%19.'))
    end)

    it("refuses a header without the marked region", function()
        shell.write_file(folder .. "/tandem.h", '#define TANDEM_VERSION "1.2.3"\n')
        local output, status = shell.run("tools/cdef id %s/tandem.h", folder)
        assert.not_equal(0, status)
        assert.truthy(output:find("marker comments", 1, true), output)
    end)
end)

describe("is_yieldable", function()
    local lib = require "resty.tandem.lib"
    local is_yieldable = lib.is_yieldable

    local function in_coroutine(fn)
        return coroutine.wrap(fn)()
    end

    it("is false in the main chunk, true in a coroutine", function()
        local output = shell.lua(shell.root, LUA_PATH, shell.root .. "/build/?.so",
            'print(require("resty.tandem.lib").is_yieldable())')
        assert.equal("false\n", output)
        assert.is_true(in_coroutine(is_yieldable))
        assert.is_true(in_coroutine(function() return select(2, pcall(is_yieldable)) end))
    end)

    it("is false where a C function is in between", function()
        assert.is_false(in_coroutine(function()
            local answer
            table.sort({ 1, 2 }, function(a, b)
                answer = is_yieldable()
                return a < b
            end)
            return answer
        end))
        assert.is_false(in_coroutine(function()
            local answer
            string.gsub("a", "a", function() answer = is_yieldable() end)
            return answer
        end))
        assert.is_false(in_coroutine(function()
            package.preload["tandem.spec.required"] = is_yieldable
            package.loaded["tandem.spec.required"] = nil
            local answer = require "tandem.spec.required"
            package.preload["tandem.spec.required"] = nil
            package.loaded["tandem.spec.required"] = nil
            return answer
        end))
    end)
end)
