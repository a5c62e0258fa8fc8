--- Chance of our own: the application's math.random is left alone, and processes that were forked
-- from one that had not drawn do not all draw the same.

local ffi = require "ffi"
local bit = require "bit"

local C = require("resty.tandem.lib").C

local bxor = bit.bxor
local lshift = bit.lshift
local rshift = bit.rshift
local tobit = bit.tobit
local tonumber = tonumber

local RANGE = 4294967296

ffi.cdef "int getpid(void);"

local state

-- When first asked for, which in nginx is in a worker.
local function seed()
    local somewhere = tonumber(ffi.cast("uintptr_t", ffi.cast("void *", ffi.new "char[1]")))
    return bxor(tobit(ffi.C.getpid() * 2654435761 % RANGE), tobit(somewhere % RANGE),
                tobit(C.tandem_now_ms() % RANGE))
end

--- A number from 0 up to, but not including, 1: Marsaglia's xorshift.
return function()
    local x = state or seed()
    x = bxor(x, lshift(x, 13))
    x = bxor(x, rshift(x, 17))
    x = bxor(x, lshift(x, 5))
    state = x ~= 0 and x or 1
    return (x < 0 and x + RANGE or x) / RANGE
end
