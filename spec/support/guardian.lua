--- Outlives a run of specs that was killed: reads from its standard input what the run has started
-- and made, and kills and removes what is left of it when that input ends.

local ffi = require "ffi"

ffi.cdef [[
int kill(int pid, int sig);
int setsid(void);
void (*signal(int number, void (*handler)(int)))(int);
]]

local SIGHUP, SIGINT, SIGKILL, SIGTERM = 1, 2, 9, 15
local SIG_IGN = ffi.cast("void (*)(int)", 1)

ffi.C.setsid()
for _, number in ipairs({ SIGHUP, SIGINT, SIGTERM }) do
    ffi.C.signal(number, SIG_IGN)
end

local processes, folders = {}, {}

for line in io.lines() do
    local what, which = line:match("^(%a+) (.*)$")
    if what == "process" then
        processes[tonumber(which)] = true
    elseif what == "gone" then
        processes[tonumber(which)] = nil
    elseif what == "folder" then
        folders[#folders + 1] = which
    end
end

-- Each leads a group of its own.
for pid in pairs(processes) do
    ffi.C.kill(-pid, SIGKILL)
end
for _, folder in ipairs(folders) do
    if folder:match("/tandem%-spec%-%w+$") then
        os.execute("rm -rf '" .. folder .. "'")
    end
end
