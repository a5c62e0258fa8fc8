--- Times of this process: the CPU time of its thread for single measurements, which other programs
-- on the machine disturb least, and the wall clock's for several processes at once.  And CPU times
-- of other processes.

local ffi = require "ffi"

local shell = require "lib.shell"

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

--- Seconds that the threads of a process have run: by the scheduler, which counts nanoseconds, or
-- in ticks.
function _M.of(pid)
    local sum, known = 0, false
    for text in shell.output("cat /proc/%d/task/*/schedstat 2>/dev/null", pid)
            :gmatch("(%d+)[^\n]*") do
        sum, known = sum + tonumber(text) / 1e9, true
    end
    if known then
        return sum
    end
    local fields = {}
    for field in shell.output("cat /proc/%d/stat", pid):match("%) (.*)$"):gmatch("%S+") do
        fields[#fields + 1] = field
    end
    return (fields[12] + fields[13]) / 100
end

return _M
