--- Finds libtandem.so, makes sure that it was built together with these Lua files, and declares its
-- functions.  Returns a table:
--
--   C             the library: lib.C.tandem_get(...).  Do not cache its functions in locals.
--   path          where it was found
--   id            its fingerprint, "VERSION-CHECKSUM"
--   is_yieldable  function: may the running Lua code yield?  True also where LuaJIT cannot tell.
--
-- Raises when there is no library, or not the right one.  May be loaded again in the same Lua VM.

local ffi = require "ffi"

local error = error
local pcall = pcall
local tostring = tostring
local find = string.find
local format = string.format
local gsub = string.gsub
local match = string.match
local open = io.open
local sub = string.sub

local THIS_FILE = sub(debug.getinfo(1, "S").source, 2)

-- What tandem_sizeof() calls the structs that Lua touches.
local STRUCTS = { [0] = "tandem_options", [1] = "tandem_result", [2] = "tandem_metric",
                  [3] = "tandem_near", [4] = "tandem_near_entry",
                  [5] = "tandem_description", [6] = "tandem_findings" }

local function fail(...)
    error("resty.tandem: " .. format(...), 0)
end

local function load_cdef()
    local ok, cdef = pcall(require, "resty.tandem.cdef")

    if not ok then
        fail("the generated file cdef.lua is not beside %s: run `make`, or `make install` and take"
             .. " the Lua files from where it puts them (%s)", THIS_FILE, cdef)
    end
    return cdef
end

-- Without a slash the dynamic linker would look in the system's folders instead.
local function as_path(path)
    return find(path, "/", 1, true) and path or "./" .. path
end

local function find_library()
    local named = os.getenv("TANDEM_LIBRARY")

    if named and named ~= "" then
        return as_path(named)
    end

    local path, tried = package.searchpath("libtandem", package.cpath)
    if path then
        return as_path(path)
    end

    -- In the source tree: lua/resty/tandem/lib.lua and build/libtandem.so.
    local built = (match(THIS_FILE, "^(.*/)[^/]*$") or "./") .. "../../../build/libtandem.so"
    local file = open(built, "rb")
    if file then
        file:close()
        return built
    end

    fail("libtandem.so not found:%s\n\tno file '%s'\ninstall it with `make install` and see that"
         .. " package.cpath (lua_package_cpath in nginx) has its folder", tried, built)
end

local function load_library(path)
    local ok, lib = pcall(ffi.load, path)

    if not ok then
        fail("%s cannot be loaded: %s", path, tostring(lib))
    end
    return lib
end

-- Before this has passed, nothing of the library but tandem_abi_id is declared: its signature never
-- changes.
local function check_id(lib, path, wanted)
    ffi.cdef "const char *tandem_abi_id(void);"

    local ok, id = pcall(function() return ffi.string(lib.tandem_abi_id()) end)

    if not ok then
        fail("%s is not a library of lua-resty-tandem (%s); %s needs build %s", path, id, THIS_FILE,
             wanted)
    end
    if id ~= wanted then
        fail("%s is build %s, but %s needs build %s: install the library and the Lua files"
             .. " together", path, id, THIS_FILE, wanted)
    end
end

-- LuaJIT silently keeps the first declaration of a function, so a type named after the fingerprint
-- tells whose declarations this Lua VM has.
local function declare(cdef)
    local marker = "tandem_cdef_" .. gsub(cdef.id, "%W", "_")

    if pcall(ffi.typeof, marker) then
        return
    end
    if pcall(ffi.typeof, "tandem_cache") then
        fail("this Lua VM has loaded another build of lua-resty-tandem before; %s needs build %s:"
             .. " restart the process", THIS_FILE, cdef.id)
    end
    ffi.cdef(cdef.text)
    ffi.cdef("typedef int " .. marker .. ";")
end

local function check_sizes(lib, path)
    for which, name in pairs(STRUCTS) do
        local theirs, ours = tonumber(lib.tandem_sizeof(which)), ffi.sizeof(name)

        if theirs ~= ours then
            fail("%s has a %s of %d bytes, but %s one of %d: install the library and the Lua files"
                 .. " together", path, name, theirs, THIS_FILE, ours)
        end
    end
end

local function lua_function(path, name)
    local f, err = package.loadlib(path, name)

    if not f then
        fail("%s is incomplete: %s", path, err)
    end
    return f
end

-- A LuaJIT without lua_isyieldable leaves the answer to the phase that nginx is in.
local function yieldable_check(path)
    local check = lua_function(path, "tandem_lua_isyieldable")

    if check() == nil then
        return function() return true end
    end
    return check
end

local cdef = load_cdef()
local path = find_library()
local lib = load_library(path)

check_id(lib, path, cdef.id)
declare(cdef)
check_sizes(lib, path)

return {
    C = lib, path = path, id = cdef.id,
    is_yieldable = yieldable_check(path),
    --- As pcall, but what it calls is not compiled into its caller.
    pcall_uncompiled = lua_function(path, "tandem_lua_pcall"),
}
