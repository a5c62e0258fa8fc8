--- What a run was made on: the machine, and the versions of what was measured.

local nginx = require "lib.nginx"
local shell = require "lib.shell"

local _M = {}

local function first_line(...)
    return shell.output(...):match("[^\n]*")
end

-- What of it matters, or nothing where the program is not installed.
local function version(command, pattern)
    return first_line("%s 2>&1", command):match(pattern) or "none"
end

--- Rows of a name and what is to be said of it.
function _M.describe()
    return {
        { "processor", first_line("sed -n 's/^model name[^:]*: //p' /proc/cpuinfo")
          .. ", " .. first_line("nproc") .. " cores" },
        { "memory", first_line("awk '/MemTotal/ { print int($2 / 1048576 + 0.5) }' /proc/meminfo")
          .. " GiB" },
        { "system", first_line("sed -n 's/^PRETTY_NAME=\"\\(.*\\)\"/\\1/p' /etc/os-release")
          .. ", Linux " .. first_line("uname -r"):match("^[%d.]+") },
        { "nginx", version(nginx.PROGRAM .. " -v", "nginx/(%S+)") },
        { "LuaJIT", version((os.getenv("LUAJIT") or "luajit") .. " -v", "LuaJIT (%S+)") },
        { "Redis", version("redis-server --version", "v=(%S+)") },
        { "compiler", version("${CC:-cc} --version", "([%d.]+)[^%d]*$") },
        { "lua-resty-mlcache", os.getenv("MLCACHE") and "as MLCACHE has it" or "not beside it" },
    }
end

return _M
