--- Times of this process: the CPU time of its thread for single measurements, which other programs
-- on the machine disturb least, and the wall clock's for several processes at once.

local ffi = require "ffi"

pcall(ffi.cdef, [[
struct bench_time { long seconds; long nanoseconds; };
int clock_gettime(int clock, struct bench_time *now);
]])

local C = ffi.C
local MONOTONIC, THREAD = 1, 3
local now = ffi.new "struct bench_time"

local _M = {}

local function read(clock)
    C.clock_gettime(clock, now)
    return tonumber(now.seconds) + tonumber(now.nanoseconds) * 1e-9
end

function _M.cpu()
    return read(THREAD)
end

function _M.wall()
    return read(MONOTONIC)
end

return _M
