--- Pages of keys as C makes them: for each a 4-byte length, then so many bytes.

local ffi = require "ffi"

local cast = ffi.cast
local copy = ffi.copy
local str = ffi.string

local _M = {}

local item_length = ffi.new "uint32_t[1]"

--- Calls each(string) for the items in length bytes at bytes, which belongs to the caller alone.
-- Ends early, and answers true, when that does.
function _M.each(bytes, length, each)
    local first, at = cast("const char *", bytes), 0

    -- at is a number: a pointer that changes from turn to turn of a compiled loop comes out of it
    -- wrong now and then, when the loop is left for a garbage collection (LuaJIT 2.1-20230119).
    while at < length do
        copy(item_length, first + at, 4)
        local n = item_length[0]
        if each(str(first + at + 4, n)) then
            return true
        end
        at = at + 4 + n
    end
end

return _M
