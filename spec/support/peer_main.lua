--- The process of a peer: see peer.lua.  arg[1] is its folder.

local ffi = require "ffi"
local poll = require "posix.poll"
local signal = require "posix.signal"
local socket = require "posix.sys.socket"
local unistd = require "posix.unistd"

ffi.cdef [[
int prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d);
]]

local folder = arg[1]
local script = assert(loadfile(folder .. "/script.lua"))

-- One write for each line: they do not mix.
local function record(...)
    local file = assert(io.open(folder .. "/records", "ab"))
    file:setvbuf("full", 1048576)
    file:write(table.concat({ ... }, " "):gsub("\n", "\\n") .. "\n")
    file:close()
end

local Connection = {}
Connection.__index = Connection

function Connection:read()
    if #self.buffer > 0 then
        local bytes = self.buffer
        self.buffer = ""
        return bytes
    end
    local bytes = self.fd and socket.recv(self.fd, 262144)
    return bytes ~= "" and bytes or nil
end

-- A word with its length, at a position of the buffer; nil when it is not all there.
local function word_at(buffer, at)
    local length, from = buffer:match("^%$(%d+)\r\n()", at)
    local stop = length and from + length + 1
    if not stop or #buffer < stop then
        return nil
    end
    return buffer:sub(from, from + length - 1), stop + 1
end

local function parse(buffer)
    local n, at = buffer:match("^%*(%d+)\r\n()")
    if not n then
        return nil
    end
    local words = {}
    for i = 1, tonumber(n) do
        local word
        word, at = word_at(buffer, at)
        if not word then
            return nil
        end
        words[i] = word
    end
    return words, at
end

function Connection:command()
    while self.fd do
        local words, rest = parse(self.buffer)
        if words then
            self.buffer = self.buffer:sub(rest)
            record("command", unpack(words))
            return words
        end
        local bytes = socket.recv(self.fd, 262144)
        if not bytes or bytes == "" then
            return nil
        end
        record("bytes", #bytes)
        self.buffer = self.buffer .. bytes
    end
end

--- first and the commands after it, until none has come for so many seconds.
function Connection:commands(first, seconds)
    local list = { first }
    while parse(self.buffer) or poll.rpoll(self.fd, seconds * 1000) ~= 0 do
        local words = self:command()
        if not words then
            break
        end
        list[#list + 1] = words
    end
    return list
end

function Connection:write(bytes)
    local at = 1
    while at <= #bytes do
        local sent = self.fd and socket.send(self.fd, bytes:sub(at))
        if not sent then
            unistd._exit(0)
        end
        at = at + sent
    end
end

function Connection:close()
    if self.fd then
        unistd.close(self.fd)
        self.fd = nil
    end
end

function Connection:reset()
    if self.fd then
        socket.setsockopt(self.fd, socket.SOL_SOCKET, socket.SO_LINGER, 1, 0)
        self:close()
    end
end

function Connection.pause(_, seconds)
    poll.poll({}, seconds * 1000)
end

local GREETINGS = { AUTH = "+OK\r\n", SELECT = "+OK\r\n", CLIENT = "+OK\r\n", PING = "+PONG\r\n",
                    INFO = "-ERR unknown command\r\n" }

local function greet(words)
    return GREETINGS[words[1]:upper()]
end

-- What a Redis without a key would say.
local EMPTY = { GET = "$-1\r\n", PTTL = ":-2\r\n", EXISTS = ":0\r\n", DEL = ":0\r\n",
                SET = "+OK\r\n", SCAN = "*2\r\n$1\r\n0\r\n*0\r\n", UNLINK = ":0\r\n" }

local function empty(words)
    return EMPTY[words[1]:upper()]
end

local function serve(fd, number)
    local c = setmetatable({ fd = fd, buffer = "" }, Connection)
    record("connection", number)
    setfenv(script, setmetatable({ c = c, greet = greet, empty = empty, number = number,
                                   record = record }, { __index = _G }))
    local ok, err = pcall(script)
    if not ok then
        record("failed", tostring(err))
    end
    c:close()
end

signal.signal(signal.SIGPIPE, signal.SIG_IGN)
signal.signal(signal.SIGCHLD, signal.SIG_IGN) -- so that children need not be waited for

local listener = assert(socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0))
assert(socket.bind(listener, { family = socket.AF_INET, addr = "127.0.0.1", port = 0 }))
assert(socket.listen(listener, 64))
io.stdout:write(socket.getsockname(listener).port, "\n")
io.stdout:flush()

local number = 0
while true do
    local fd = socket.accept(listener)
    if fd then
        number = number + 1
        if unistd.fork() == 0 then
            ffi.C.prctl(1, 9, 0, 0, 0) -- SIGKILL when the peer is killed
            unistd.close(listener)
            serve(fd, number)
            unistd._exit(0)
        end
        unistd.close(fd)
    end
end
