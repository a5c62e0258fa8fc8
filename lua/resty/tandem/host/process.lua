--- What tells one process from another for as long as the machine runs.

local ffi = require "ffi"

local open = io.open

ffi.cdef "int getpid(void);"

local _M = {}

--- Its number, also after a fork.
function _M.pid()
    return ffi.C.getpid()
end

--- When a process was started, in the kernel's ticks since boot: field 22 of /proc/PID/stat.
-- @return a string of digits; "0" when /proc does not tell
function _M.start_time(pid)
    local file = open("/proc/" .. pid .. "/stat", "r")
    if not file then
        return "0"
    end
    local text = file:read("*a") or ""
    file:close()

    -- Field 2 is the name in brackets and may contain anything.
    local rest = text:match("^.*%) (.*)$") or ""
    local n = 2
    for field in rest:gmatch("%S+") do
        n = n + 1
        if n == 22 then
            return field
        end
    end
    return "0"
end

return _M
