--- A client of Redis's protocol, as plain as can be, so that specs see Redis with other eyes than
-- the library's.
--
-- Replies: strings, numbers, arrays; nil for null; an error is { err = text }.

local poll = require "posix.poll"
local run = require "spec.support.run"
local socket = require "posix.sys.socket"
local unistd = require "posix.unistd"

local _M = {}
local Client = {}
Client.__index = Client

--- A connected socket: to a path, or to a port of 127.0.0.1.  nil, err.
function _M.connect_socket(target)
    local family = target.path and socket.AF_UNIX or socket.AF_INET
    local fd = assert(socket.socket(family, socket.SOCK_STREAM, 0))
    run.cloexec(fd)
    local ok, err = socket.connect(fd, target.path and { family = family, path = target.path }
        or { family = family, addr = "127.0.0.1", port = target.port })
    if not ok then
        unistd.close(fd)
        return nil, err
    end
    return fd
end

--- Connects.  target: { path = } or { port = }.  nil, err when nobody listens.
function _M.connect(target)
    local fd, err = _M.connect_socket(target)
    if not fd then
        return nil, err
    end
    return setmetatable({ fd = fd, buffer = "", at = 1 }, Client)
end

--- The bytes of a command.
function _M.command(...)
    local parts = { "*" .. select("#", ...) .. "\r\n" }
    for i = 1, select("#", ...) do
        local word = tostring((select(i, ...)))
        parts[#parts + 1] = "$" .. #word .. "\r\n" .. word .. "\r\n"
    end
    return table.concat(parts)
end

function Client:write(bytes)
    local at = 1
    while at <= #bytes do
        at = at + assert(socket.send(self.fd, bytes:sub(at, at + 65535)))
    end
end

-- More bytes into the buffer; nil at the end.
local function more(self, deadline)
    local left = deadline - run.now()
    if left <= 0 or poll.rpoll(self.fd, math.ceil(left * 1000)) == 0 then
        error("Redis did not answer in time", 0)
    end
    local bytes = socket.recv(self.fd, 65536)
    if not bytes or bytes == "" then
        return nil
    end
    self.buffer = self.buffer:sub(self.at) .. bytes
    self.at = 1
    return true
end

local function line(self, deadline)
    while true do
        local stop = self.buffer:find("\r\n", self.at, true)
        if stop then
            local text = self.buffer:sub(self.at, stop - 1)
            self.at = stop + 2
            return text
        end
        if not more(self, deadline) then
            return nil
        end
    end
end

--- Reads one reply.  Second return: true when there was one, for nil replies; else "closed".
function Client:read(seconds)
    local deadline = run.now() + (seconds or 10)
    local head = line(self, deadline)
    if not head then
        return nil, "closed"
    end
    local kind, rest = head:sub(1, 1), head:sub(2)
    if kind == "+" then
        return rest, true
    elseif kind == "-" then
        return { err = rest }, true
    elseif kind == ":" then
        return tonumber(rest), true
    end
    local n = tonumber(rest)
    if n < 0 then
        return nil, true
    elseif kind == "$" then
        while #self.buffer - self.at + 1 < n + 2 do
            if not more(self, deadline) then
                return nil, "closed"
            end
        end
        local bytes = self.buffer:sub(self.at, self.at + n - 1)
        self.at = self.at + n + 2
        return bytes, true
    end
    local list = {}
    for i = 1, n do
        list[i] = self:read(seconds)
    end
    return list, true
end

--- Sends a command and reads its reply.  Raises when Redis hangs up.
function Client:call(...)
    self:write(_M.command(...))
    local reply, there = self:read()
    if there ~= true then
        error("Redis closed the connection", 2)
    end
    return reply
end

function Client:close()
    if self.fd then
        unistd.close(self.fd)
        self.fd = nil
    end
end

return _M
