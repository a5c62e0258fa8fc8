--- Microseconds of the clock that only goes forward; ngx.now() stands still while a handler runs.

local ffi = require "ffi"

ffi.cdef [[
struct example_timespec { long seconds; long nanoseconds; };
int clock_gettime(int clock, struct example_timespec *now);
]]

local MONOTONIC = 1

local now = ffi.new "struct example_timespec"
local C = ffi.C

return function()
    C.clock_gettime(MONOTONIC, now)
    return tonumber(now.seconds) * 1e6 + tonumber(now.nanoseconds) / 1000
end
