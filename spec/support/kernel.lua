--- What the kernel knows of a process, from /proc.  Also found in spec.support.run.

local dirent = require "posix.dirent"
local stat = require "posix.sys.stat"

local TICKS = 100 -- a second, of /proc/PID/stat

local _M = {}

local function read_file(path)
    local file = io.open(path, "rb")
    if not file then
        return nil
    end
    local content = file:read("*a")
    file:close()
    return content
end

_M.read_file = read_file

local function stat_fields(pid)
    local content = read_file("/proc/" .. pid .. "/stat")
    local rest = content and content:match("^.*%) (.*)$")
    if not rest then
        return nil
    end
    local fields = {}
    for field in rest:gmatch("%S+") do
        fields[#fields + 1] = field
    end
    return fields
end

--- "R", "S", "T", "Z", ...; nil when there is no such process.
function _M.state_of(pid)
    local fields = stat_fields(pid)
    return fields and fields[1]
end

--- The children of a process, an array of pids.
function _M.children_of(pid)
    local list = {}
    for _, entry in ipairs(dirent.dir("/proc")) do
        local fields = entry:match("^%d+$") and stat_fields(entry)
        if fields and tonumber(fields[2]) == pid and fields[1] ~= "Z" then
            list[#list + 1] = tonumber(entry)
        end
    end
    table.sort(list)
    return list
end

--- Resident memory, in KB.
function _M.rss_of(pid)
    local content = read_file("/proc/" .. pid .. "/status")
    return content and tonumber(content:match("VmRSS:%s+(%d+) kB"))
end

--- Memory of its own, in KB: without pages that it shares with others, the segment's for one.
function _M.private_memory_of(pid)
    local content, sum = read_file("/proc/" .. pid .. "/smaps_rollup"), nil
    for kb in (content or ""):gmatch("\nPrivate_%a+:%s+(%d+) kB") do
        sum = (sum or 0) + tonumber(kb)
    end
    return sum
end

--- The names of its threads, a sorted array.
function _M.threads_of(pid)
    local names = {}
    for _, id in ipairs(dirent.dir("/proc/" .. pid .. "/task") or {}) do
        local name = id:match("^%d+$") and read_file("/proc/" .. pid .. "/task/" .. id .. "/comm")
        if name then
            names[#names + 1] = name:gsub("\n", "")
        end
    end
    table.sort(names)
    return names
end

--- Processor time that it has taken until now, its own and the kernel's for it, in seconds.
function _M.cpu_of(pid)
    local fields = stat_fields(pid)
    return fields and (fields[12] + fields[13]) / TICKS
end

--- What it has mapped of a file, in KB: resident, and its share of that, which is less where others
-- have the same pages.
function _M.mapped_of(pid, path)
    local inode = tostring(stat.stat(path).st_ino) -- its name may be another one
    local resident, share, inside = 0, 0, false
    for line in (read_file("/proc/" .. pid .. "/smaps") or ""):gmatch("[^\n]+") do
        if line:find("^%x+%-%x+ ") then
            inside = line:match("^%S+ %S+ %S+ %S+ (%d+)") == inode
        elseif inside then
            resident = resident + (line:match("^Rss:%s+(%d+) kB") or 0)
            share = share + (line:match("^Pss:%s+(%d+) kB") or 0)
        end
    end
    return resident, share
end

--- How many file descriptors it has open.
function _M.fds_of(pid)
    local list = dirent.dir("/proc/" .. pid .. "/fd")
    return list and #list - 2
end

return _M
