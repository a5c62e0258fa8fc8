--- Processes, temporary folders and waiting, for specs.
--
-- Whatever a spec starts or makes here is gone after run.cleanup(), which every spec file calls in
-- its teardown, and also when the run itself is killed: a guardian process of its own learns of
-- that by the end of a pipe, and then kills what was started and removes what was made.

local ffi = require "ffi"
local fcntl = require "posix.fcntl"
local kernel = require "spec.support.kernel"
local poll = require "posix.poll"
local secrets = require "spec.support.secrets"
local signal = require "posix.signal"
local stat = require "posix.sys.stat"
local stdlib = require "posix.stdlib"
local time = require "posix.time"
local unistd = require "posix.unistd"
local wait = require "posix.sys.wait"

ffi.cdef [[
int prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d);
int setpgid(int pid, int pgid);
]]

local PR_SET_PDEATHSIG = 1
local LAST_FD = 255

local _M = {}

for name, fn in pairs(kernel) do
    _M[name] = fn
end

--- The repository's root, an absolute path.
_M.root = unistd.getcwd()

--- What to run: an interpreter, a server.
_M.luajit = os.getenv("LUAJIT") or "luajit"
_M.nginx = os.getenv("TANDEM_NGINX") or "nginx"
_M.redis_server = os.getenv("TANDEM_REDIS_SERVER") or "redis-server" -- or valkey-server

-- -- Time ----------------------------------------------------------------------------------------

--- CLOCK_MONOTONIC, in seconds.
function _M.now()
    local t = time.clock_gettime(time.CLOCK_MONOTONIC)
    return t.tv_sec + t.tv_nsec / 1e9
end

--- Lets some milliseconds pass: the step of a loop that awaits something, or a pause that is
-- itself what is tested.
function _M.nap(ms)
    poll.poll({}, ms)
end

--- Calls condition() until it answers something true, and returns that.  Raises after so many
-- seconds (default 10), naming what was awaited.
function _M.wait_until(what, condition, seconds)
    local deadline = _M.now() + (seconds or 10)
    while true do
        local answer, more = condition()
        if answer then
            return answer, more
        end
        if _M.now() > deadline then
            error("in vain waited until " .. what, 2)
        end
        _M.nap(2)
    end
end

-- -- State of a run ------------------------------------------------------------------------------

-- busted loads this file anew for every spec file; what is running outlives that.
local REGISTRY = "tandem.spec.run"
local state = debug.getregistry()[REGISTRY]
if not state then
    state = { live = {} }
    debug.getregistry()[REGISTRY] = state
end

local function cloexec(fd)
    assert(fcntl.fcntl(fd, fcntl.F_SETFD, fcntl.FD_CLOEXEC))
    return fd
end

_M.cloexec = cloexec

-- In the child: becomes the program.  fds: what is to be its 0, 1 and 2.
local function become(program, options, fds)
    collectgarbage("stop")
    ffi.C.setpgid(0, 0)
    if options.dies_with_parent ~= false then
        ffi.C.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    end
    for fd = 0, 2 do
        unistd.dup2(fds[fd], fd)
    end
    for fd = 3, LAST_FD do
        unistd.close(fd)
    end
    for name, value in pairs(options.env or {}) do
        stdlib.setenv(name, value or nil)
    end
    if options.cwd then
        unistd.chdir(options.cwd)
    end
    local arguments = {}
    for i = 2, #program do
        arguments[i - 1] = tostring(program[i])
    end
    unistd.execp(program[1], arguments)
    unistd.write(2, "cannot run " .. program[1] .. "\n")
    unistd._exit(127)
end

local function fork_into(program, options, fds)
    local pid = assert(unistd.fork())
    if pid == 0 then
        become(program, options, fds)
    end
    ffi.C.setpgid(pid, pid) -- as the child does: whoever comes first
    return pid
end

local function null_fd()
    return cloexec(assert(fcntl.open("/dev/null", fcntl.O_RDWR)))
end

-- Tells the guardian a line.
local function tell(line)
    if not state.guardian then
        local from, to = unistd.pipe()
        cloexec(from)
        state.guardian = cloexec(to)
        local null = null_fd()
        state.guardian_pid = fork_into({ _M.luajit, _M.root .. "/spec/support/guardian.lua" },
                                       { dies_with_parent = false }, { [0] = from, null, 2 })
        unistd.close(from)
        unistd.close(null)
    end
    assert(unistd.write(state.guardian, line .. "\n"))
end

local function remember(thing)
    state.live[#state.live + 1] = thing
end

local function forget(thing)
    for i = #state.live, 1, -1 do
        if state.live[i] == thing then
            table.remove(state.live, i)
        end
    end
end

--- Has cleanup call fn.
function _M.finally(fn)
    remember({ destroy = fn })
end

--- Stops and removes everything that was started and made, the latest first.  For teardown.
function _M.cleanup()
    local first
    while #state.live > 0 do
        local thing = table.remove(state.live)
        local ok, err = pcall(thing.destroy, thing)
        first = first or not ok and err
    end
    if first then
        error(first, 0)
    end
end

-- -- Processes -----------------------------------------------------------------------------------

local Process = {}
Process.__index = Process

--- Starts a program: { "name", arguments... }.
-- options: env (name -> value, false to unset), cwd, output (a file that takes what it prints;
-- default: none), pipe (true: what it prints is read from process.out, a file descriptor).
function _M.start(program, options)
    options = options or {}
    local null = null_fd()
    local out, read_end = null, nil
    if options.output then
        out = cloexec(assert(fcntl.open(options.output,
            fcntl.O_WRONLY + fcntl.O_CREAT + fcntl.O_APPEND, 420)))
    elseif options.pipe then
        read_end, out = unistd.pipe()
        cloexec(read_end)
        cloexec(out)
    end
    local process = setmetatable({ name = program[1], out = read_end }, Process)
    process.pid = fork_into(program, options, { [0] = null, out, out })
    tell("process " .. process.pid)
    if out ~= null then
        unistd.close(out)
    end
    unistd.close(null)
    remember(process)
    return process
end

-- Collects its exit status if there is one.
local function reap(self, options)
    if self.ended then
        return true
    end
    local pid, how, status = wait.wait(self.pid, options)
    if pid == self.pid and (how == "exited" or how == "killed") then
        self.ended, self.how, self.status = true, how, status
        tell("gone " .. self.pid)
    end
    return self.ended
end

function Process:alive()
    return not reap(self, wait.WNOHANG)
end

--- Sends a signal by name: "TERM".
function Process:signal(name)
    assert(not self.ended, self.name .. " has ended")
    assert(signal.kill(self.pid, signal["SIG" .. name]))
end

--- Waits until it ends.  Returns "exited" or "killed", and the status or signal.
function Process:wait(seconds)
    _M.wait_until(self.name .. " ends", function() return reap(self, wait.WNOHANG) end, seconds)
    return self.how, self.status
end

--- SIGKILL, and waits for it.
function Process:kill()
    if self:alive() then
        signal.kill(self.pid, signal.SIGKILL)
        signal.kill(self.pid, signal.SIGCONT)
        reap(self)
    end
end

--- Kills it and its group.
function Process:destroy()
    if self:alive() then
        signal.kill(-self.pid, signal.SIGKILL)
        reap(self)
    end
    signal.kill(-self.pid, signal.SIGKILL)
    if self.out then
        unistd.close(self.out)
        self.out = nil
    end
    forget(self)
end

--- SIGSTOP, and waits until it stands still.
function Process:freeze()
    self:signal("STOP")
    _M.wait_until(self.name .. " stands still", function() return _M.state_of(self.pid) == "T" end)
end

function Process:thaw()
    self:signal("CONT")
end

--- What it has printed until it ends or says no more (pipe = true).
function Process:read_all(seconds)
    local parts, deadline = {}, _M.now() + (seconds or 30)
    while true do
        local left = deadline - _M.now()
        if left <= 0 or poll.rpoll(self.out, math.ceil(left * 1000)) == 0 then
            error(self.name .. " printed no end; until now: " .. table.concat(parts), 2)
        end
        local part = assert(unistd.read(self.out, 65536))
        if part == "" then
            return table.concat(parts)
        end
        parts[#parts + 1] = part
    end
end

--- Its next line, without the newline (pipe = true).  nil at the end.
function Process:read_line(seconds)
    local deadline = _M.now() + (seconds or 30)
    self.rest = self.rest or ""
    while true do
        local line, rest = self.rest:match("^([^\n]*)\n(.*)$")
        if line then
            self.rest = rest
            return line
        end
        local left = deadline - _M.now()
        if left <= 0 or poll.rpoll(self.out, math.ceil(left * 1000)) == 0 then
            error(self.name .. " printed no line; until now: " .. self.rest, 2)
        end
        local part = assert(unistd.read(self.out, 65536))
        if part == "" then
            return nil
        end
        self.rest = self.rest .. part
    end
end

--- Runs a program to its end.  Returns what it printed, and its exit status (or "signal N").
function _M.run(program, options)
    options = options or {}
    options.pipe = true
    local process = _M.start(program, options)
    local output = process:read_all(options.seconds)
    local how, status = process:wait()
    process:destroy()
    return output, how == "exited" and status or "signal " .. tostring(status)
end

--- Runs Lua text in a LuaJIT of its own that finds the library and the specs' support.
-- options as start.  Returns the running process, whose output is a pipe.
function _M.start_lua(text, options)
    options = options or {}
    options.pipe = true
    options.env = options.env or {}
    options.env.LUA_PATH = _M.root .. "/lua/?.lua;" .. _M.root .. "/?.lua;;"
    options.env.LUA_CPATH = _M.root .. "/build/?.so;;"
    return _M.start({ _M.luajit, "-e", text }, options)
end

--- The same to its end.  Raises when it fails; returns what it printed.
function _M.lua(text, options)
    local process = _M.start_lua(text, options)
    local output = process:read_all(options and options.seconds)
    local how, status = process:wait()
    process:destroy()
    if how ~= "exited" or status ~= 0 then
        error("the script " .. how .. " with " .. tostring(status) .. ": " .. output, 2)
    end
    return output
end

-- -- Files ---------------------------------------------------------------------------------------

local function remove_tree(path)
    local kind = stat.lstat(path)
    if kind and stat.S_ISDIR(kind.st_mode) ~= 0 then
        for _, entry in ipairs(require("posix.dirent").dir(path) or {}) do
            if entry ~= "." and entry ~= ".." then
                remove_tree(path .. "/" .. entry)
            end
        end
        unistd.rmdir(path)
    elseif kind then
        unistd.unlink(path)
    end
end

local function remove_folder(path)
    local found = secrets.files_with(path)
    remove_tree(path)
    if found ~= "" then
        error("there was a password in " .. found, 0)
    end
end

--- A folder of its own, mode 0755.
function _M.temp_dir()
    local path = assert(stdlib.mkdtemp((os.getenv("TMPDIR") or "/tmp") .. "/tandem-spec-XXXXXX"))
    stat.chmod(path, 493)
    tell("folder " .. path)
    remember({ destroy = function() remove_folder(path) end })
    return path
end

function _M.write_file(path, content)
    local file = assert(io.open(path, "wb"))
    assert(file:write(content))
    assert(file:close())
end

--- Everything below a folder: an array of paths, folders included.
function _M.list_tree(path, list)
    list = list or {}
    for _, entry in ipairs(require("posix.dirent").dir(path) or {}) do
        if entry ~= "." and entry ~= ".." then
            local full = path .. "/" .. entry
            list[#list + 1] = full
            if stat.S_ISDIR(assert(stat.lstat(full)).st_mode) ~= 0 then
                _M.list_tree(full, list)
            end
        end
    end
    return list
end

--- Copies a folder.
function _M.copy_tree(from, to)
    local _, status = _M.run({ "cp", "-r", from, to })
    assert(status == 0, "cp failed")
end

--- Is there such a program?  Raises if not: a spec that needs it must not pass without.
function _M.need(program)
    for folder in (os.getenv("PATH") .. ":/usr/sbin:/sbin"):gmatch("[^:]+") do
        local path = program:find("/", 1, true) and program or folder .. "/" .. program
        if unistd.access(path, "x") == 0 then
            return path
        end
    end
    error(program .. " is not installed: make deps", 2)
end

return _M
