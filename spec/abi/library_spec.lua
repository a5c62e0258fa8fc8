-- What the linked library exports and how it is linked.
local shell = require "spec.abi.shell"

local LIBRARY = "build/libtandem.so"

local function set_of(text, pattern)
    local set = {}
    for name in text:gmatch(pattern) do
        set[name] = true
    end
    return set
end

describe("libtandem.so", function()
    it("exports the functions of the header, and those for package.loadlib", function()
        local region = require("resty.tandem.cdef").text
        local declared = set_of(region, "(tandem_[%w_]+)%(")
        declared.tandem_lua_isyieldable = true
        declared.tandem_lua_pcall = true

        local exported = set_of(shell.must("nm -D --defined-only %s", LIBRARY), " %u ([%w_]+)")
        assert.same(declared, exported)
    end)

    it("is never unloaded, has a name, and leaves nothing to be resolved later", function()
        local dynamic = shell.must("readelf -d %s", LIBRARY)
        assert.truthy(dynamic:find("NODELETE", 1, true), dynamic)
        assert.truthy(dynamic:find("NOW", 1, true), dynamic)
        assert.truthy(dynamic:find("soname: [libtandem.so]", 1, true), dynamic)
    end)

    it("says its version, as the header does", function()
        local ffi = require "ffi"
        local lib = require "resty.tandem.lib"
        local version = shell.read_file("c/include/tandem.h"):match('#define TANDEM_VERSION "(.-)"')
        assert.equal(version, ffi.string(lib.C.tandem_version()))
        assert.equal(lib.id, ffi.string(lib.C.tandem_abi_id()))
        assert.equal(version .. "-", lib.id:match("^(.*%-)%d+$"))
        assert.equal(0, tonumber(lib.C.tandem_sizeof(7)))
        assert.equal(0, tonumber(lib.C.tandem_sizeof(-1)))
    end)

    it("is declared by a header that stands alone", function()
        shell.must("echo '#include \"tandem.h\"' |"
            .. " cc -std=c99 -Wall -Wextra -Wpedantic -Werror -fsyntax-only -Ic/include -x c -")
    end)
end)
