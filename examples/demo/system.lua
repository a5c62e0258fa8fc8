--- What the demo needs of Linux and LuaJIT's own library lacks: processes, sockets, signals.
-- By FFI, so that the demo needs no Lua module but the one it shows.  Constants are those of x86-64
-- and arm64.

local bit = require "bit"
local ffi = require "ffi"

ffi.cdef [[
typedef int demo_pid;
struct demo_timespec { long seconds; long nanoseconds; };
struct demo_sigset { unsigned long words[16]; };
struct demo_address {
    unsigned short family, port; unsigned char host[4]; unsigned char zero[8];
};
struct demo_poll { int fd; short events, revents; };

int clock_gettime(int clock, struct demo_timespec *now);
char *strerror(int number);

demo_pid fork(void);
demo_pid getpid(void);
demo_pid getppid(void);
demo_pid waitpid(demo_pid pid, int *status, int options);
int kill(demo_pid pid, int signal);
int prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d);
int setpgid(demo_pid pid, demo_pid group);
int execvp(const char *file, const char *const argv[]);
void _exit(int status);

int sigemptyset(struct demo_sigset *set);
int sigaddset(struct demo_sigset *set, int signal);
int sigprocmask(int how, const struct demo_sigset *set, struct demo_sigset *old);
int signalfd(int fd, const struct demo_sigset *set, int flags);

int open(const char *path, int flags, ...);
int pipe2(int ends[2], int flags);
int dup2(int from, int to);
int close(int fd);
long read(int fd, void *buffer, size_t size);
int chmod(const char *path, unsigned mode);
int mkdir(const char *path, unsigned mode);
char *mkdtemp(char *template);

int socket(int domain, int type, int protocol);
int bind(int fd, const struct demo_address *address, unsigned length);
int connect(int fd, const struct demo_address *address, unsigned length);
int getsockname(int fd, struct demo_address *address, unsigned *length);
long send(int fd, const void *bytes, size_t length, int flags);
long recv(int fd, void *buffer, size_t size, int flags);
int poll(struct demo_poll *fds, unsigned long count, int timeout_ms);
]]

local C = ffi.C

local SIGINT, SIGTERM, SIGHUP = 2, 15, 1
local EINTR, EAGAIN, EINPROGRESS = 4, 11, 115
local PR_SET_PDEATHSIG = 1
local SIG_BLOCK, SIG_SETMASK = 0, 2
local O_WRONLY_CREATE_APPEND = bit.bor(1, 64, 1024)
local AF_INET, SOCK_STREAM, SOCK_NONBLOCK, SOCK_CLOEXEC = 2, 1, 2048, 524288
local MSG_NOSIGNAL = 16384
local ADDRESS_BYTES = 16

local _M = {
    SIGKILL = 9, SIGTERM = SIGTERM, SIGQUIT = 3, SIGSTOP = 19, SIGCONT = 18,
    POLLIN = 1, POLLOUT = 4,
}

local function last_error()
    return ffi.string(C.strerror(ffi.errno()))
end

local function check(result, what)
    if result < 0 then
        error(what .. ": " .. last_error(), 2)
    end
    return result
end

-- -- Time ----------------------------------------------------------------------------------------

local timespec = ffi.new "struct demo_timespec"

--- Seconds of the clock that only goes forward.
function _M.now()
    C.clock_gettime(1, timespec)
    return tonumber(timespec.seconds) + tonumber(timespec.nanoseconds) / 1e9
end

--- Lets time pass between two looks at something.
function _M.pause(seconds)
    C.poll(nil, 0, math.ceil(seconds * 1000))
end

-- -- Files ---------------------------------------------------------------------------------------

--- A folder of our own that every user may enter, for nginx's workers run as another one.
function _M.make_folder()
    local base = os.getenv("TMPDIR") or "/tmp"
    local template = base .. "/tandem-demo-XXXXXX"
    local path = ffi.new("char[?]", #template + 1, template)
    if C.mkdtemp(path) == nil then
        error("cannot make a folder in " .. base .. ": " .. last_error())
    end
    local made = ffi.string(path)
    check(C.chmod(made, tonumber("755", 8)), "chmod " .. made)
    return made
end

--- A folder that every user may enter.
function _M.make_visible_folder(path)
    check(C.mkdir(path, tonumber("700", 8)), "mkdir " .. path)
    check(C.chmod(path, tonumber("755", 8)), "chmod " .. path)
end

--- A folder in which every user may write.
function _M.make_open_folder(path)
    check(C.mkdir(path, tonumber("700", 8)), "mkdir " .. path)
    check(C.chmod(path, tonumber("1777", 8)), "chmod " .. path)
end

-- -- Signals -------------------------------------------------------------------------------------

local caught = ffi.new "struct demo_sigset"
local before = ffi.new "struct demo_sigset"
local signal_fd

--- From now on the signals that ask this process to end are only noted, for asked_to_end.
function _M.catch_signals()
    C.sigemptyset(caught)
    for _, signal in ipairs({ SIGINT, SIGTERM, SIGHUP }) do
        C.sigaddset(caught, signal)
    end
    check(C.sigprocmask(SIG_BLOCK, caught, before), "sigprocmask")
    signal_fd = check(C.signalfd(-1, caught, SOCK_NONBLOCK + SOCK_CLOEXEC), "signalfd")
    _M.signal_fd = signal_fd
end

local info = ffi.new "unsigned[32]"

--- The number of a signal that asked this process to end since the last call; or nil.
function _M.asked_to_end()
    if C.read(signal_fd, info, 128) == 128 then
        return info[0]
    end
end

-- -- Processes -----------------------------------------------------------------------------------

-- In the child.  Never returns.
local function become(argv, log, death_signal, parent)
    C.prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
    if C.getppid() ~= parent then
        C._exit(1)
    end
    C.setpgid(0, 0) -- Ctrl-C is for the demo alone: it ends its children itself
    C.sigprocmask(SIG_SETMASK, before, nil)

    local fd = C.open(log, O_WRONLY_CREATE_APPEND, ffi.cast("int", tonumber("644", 8)))
    if fd >= 0 then
        C.dup2(fd, 1)
        C.dup2(fd, 2)
    end
    local words = ffi.new("const char *[?]", #argv + 1)
    for i, word in ipairs(argv) do
        words[i - 1] = word
    end
    C.execvp(argv[1], words)
    C._exit(127)
end

--- Starts a program.  It gets death_signal when this process dies, however that comes about.
-- @param argv its name and arguments
-- @param log file that its output is added to
-- @return its pid
function _M.start(argv, log, death_signal)
    local parent = C.getpid()
    local pid = check(C.fork(), "fork")
    if pid == 0 then
        become(argv, log, death_signal, parent)
    end
    return pid
end

--- Starts a process that does nothing until this one is gone, and then removes a folder.
function _M.remove_when_gone(folder)
    local ends = ffi.new "int[2]"
    check(C.pipe2(ends, SOCK_CLOEXEC), "pipe")
    local pid = check(C.fork(), "fork")
    if pid == 0 then
        C.setpgid(0, 0)
        C.dup2(ends[0], 0)
        local script = 'read -r end; i=0; while [ -e "$1" ] && [ $i -lt 50 ]; do'
            .. ' rm -rf "$1" 2>/dev/null; sleep 0.1; i=$((i + 1)); done'
        local argv = { "sh", "-c", script, "sh", folder }
        local words = ffi.new("const char *[6]", argv)
        C.execvp("sh", words)
        C._exit(127)
    end
    C.close(ends[0]) -- the other end stays open, in this process alone, until it is gone
end

local status = ffi.new "int[1]"

--- Has a child ended?
function _M.has_ended(pid)
    return C.waitpid(pid, status, 1) ~= 0
end

--- Sends a signal.  Returns false when there is no such process.
function _M.kill(pid, signal)
    return C.kill(pid, signal) == 0
end

--- Waits until fn() is true, seconds at most.  Returns what fn returned.
function _M.wait_until(seconds, fn)
    local deadline = _M.now() + seconds
    while true do
        local result = fn()
        if result or _M.now() > deadline then
            return result
        end
        _M.pause(0.005)
    end
end

--- Ends a child: by signal, and by force after seconds.  Waits until it is gone.
function _M.stop(pid, signal, seconds)
    _M.kill(pid, signal)
    if not _M.wait_until(seconds, function() return _M.has_ended(pid) end) then
        _M.kill(pid, _M.SIGKILL)
        C.waitpid(pid, status, 0)
    end
end

-- -- Sockets -------------------------------------------------------------------------------------

local function address_of(port)
    local address = ffi.new "struct demo_address"
    address.family = AF_INET
    address.port = bit.bor(bit.lshift(bit.band(port, 255), 8), bit.rshift(port, 8))
    address.host[0], address.host[3] = 127, 1
    return address
end

--- A port of 127.0.0.1 that nobody listens on.
function _M.free_port()
    local fd = check(C.socket(AF_INET, SOCK_STREAM + SOCK_CLOEXEC, 0), "socket")
    local address, length = address_of(0), ffi.new("unsigned[1]", ADDRESS_BYTES)
    check(C.bind(fd, address, ADDRESS_BYTES), "bind")
    check(C.getsockname(fd, address, length), "getsockname")
    C.close(fd)
    return bit.bor(bit.lshift(bit.band(address.port, 255), 8), bit.rshift(address.port, 8))
end

--- Begins to connect to a port of 127.0.0.1.
-- @return a non-blocking socket; or nil, err
function _M.connect(port)
    local fd = C.socket(AF_INET, SOCK_STREAM + SOCK_NONBLOCK + SOCK_CLOEXEC, 0)
    if fd < 0 then
        return nil, last_error()
    end
    if C.connect(fd, address_of(port), ADDRESS_BYTES) ~= 0 and ffi.errno() ~= EINPROGRESS then
        local err = last_error()
        C.close(fd)
        return nil, err
    end
    return fd
end

local RECEIVE = 65536
local buffer = ffi.new("char[?]", RECEIVE)

--- What has arrived: a string; "" when nothing has; nil, err at the end.
function _M.receive(fd)
    local n = C.recv(fd, buffer, RECEIVE, 0)
    if n > 0 then
        return ffi.string(buffer, n)
    elseif n == 0 then
        return nil, "closed"
    elseif ffi.errno() == EAGAIN or ffi.errno() == EINTR then
        return ""
    end
    return nil, last_error()
end

--- Sends from the first byte not sent yet.  How many went; or nil, err.
function _M.send(fd, text)
    local n = tonumber(C.send(fd, text, #text, MSG_NOSIGNAL))
    if n >= 0 then
        return n
    elseif ffi.errno() == EAGAIN or ffi.errno() == EINTR then
        return 0
    end
    return nil, last_error()
end

function _M.close(fd)
    C.close(fd)
end

--- Waits until one of the sockets can go on.
-- @param wanted array of { fd =, events = }, whose revents are set
function _M.poll(wanted, seconds)
    local n = #wanted
    local fds = ffi.new("struct demo_poll[?]", n)
    for i = 1, n do
        fds[i - 1].fd, fds[i - 1].events = wanted[i].fd, wanted[i].events
    end
    local ready = C.poll(fds, n, math.max(0, math.ceil(seconds * 1000)))
    for i = 1, n do
        wanted[i].revents = ready > 0 and fds[i - 1].revents or 0
    end
end

return _M
