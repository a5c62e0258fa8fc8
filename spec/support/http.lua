--- A small HTTP/1.1 client that has any number of requests under way at once and measures each.
--
-- target: what resp.connect_socket takes, { path = } or { port = }.

local poll = require "posix.poll"
local resp = require "spec.support.resp"
local run = require "spec.support.run"
local socket = require "posix.sys.socket"
local unistd = require "posix.unistd"

local _M = {}
local Request = {}
Request.__index = Request

local function dechunk(body)
    local parts, at = {}, 1
    while true do
        local size, from = body:match("^(%x+)[^\r\n]*\r\n()", at)
        size = size and tonumber(size, 16)
        if not size or size > 0 and #body < from + size - 1 then
            return nil
        elseif size == 0 then
            return table.concat(parts)
        end
        parts[#parts + 1] = body:sub(from, from + size - 1)
        at = from + size + 2
    end
end

local function parse(self)
    local text = table.concat(self.parts)
    local status, head, body = text:match("^HTTP/1%.%d (%d+)[^\r\n]*\r\n(.-)\r\n\r\n(.*)$")
    if not status then
        self.err = text == "" and "closed without an answer" or "not an HTTP answer: " .. text
        return
    end
    self.headers = {}
    for name, value in ("\r\n" .. head):gmatch("\r\n([^:\r\n]+):[ ]*([^\r\n]*)") do
        self.headers[name:lower()] = value
    end
    self.status = tonumber(status)
    if (self.headers["transfer-encoding"] or ""):find("chunked", 1, true) then
        self.body = dechunk(body)
    elseif self.headers["content-length"] then
        self.body = #body == tonumber(self.headers["content-length"]) and body or nil
    else
        self.body = body
    end
    if not self.body then
        self.status, self.err = nil, "the answer was cut off"
    end
end

local function finish(self)
    self.seconds = run.now() - self.began
    unistd.close(self.fd)
    self.fd = nil
    parse(self)
end

--- Sends a request and does not wait.  options: method, body, headers, until_whole (true: the
-- answer is over when it has its Content-Length, even if the connection stays).
-- Returns the request; later it has status, headers, body, seconds; or err.
function _M.send(target, uri, options)
    options = options or {}
    local body = options.body or ""
    local self = setmetatable({ began = run.now(), parts = {} }, Request)
    local fd, err = resp.connect_socket(target)
    if not fd then
        self.err = "cannot connect: " .. err
        return self
    end
    self.fd, self.until_whole = fd, options.until_whole
    local lines = {
        (options.method or (options.body and "POST" or "GET")) .. " " .. uri .. " HTTP/1.1",
        "Host: localhost", "Connection: close", "Content-Length: " .. #body,
    }
    for name, value in pairs(options.headers or {}) do
        lines[#lines + 1] = name .. ": " .. value
    end
    local bytes = table.concat(lines, "\r\n") .. "\r\n\r\n" .. body
    local at = 1
    while at <= #bytes do
        local sent = socket.send(fd, bytes:sub(at))
        if not sent then
            break
        end
        at = at + sent
    end
    return self
end

--- Gives the request up, as a client that goes away.
function Request:abort()
    if self.fd then
        unistd.close(self.fd)
        self.fd = nil
        self.err = "aborted"
    end
end

--- Has nothing of the answer come yet?
function Request:is_waiting()
    return self.fd ~= nil and #self.parts == 0 and poll.rpoll(self.fd, 0) == 0
end

-- Some servers leave the connection open, whatever they were told.
local function is_whole(self)
    local text = table.concat(self.parts)
    local head, from = text:match("^(.-\r\n)\r\n()")
    local length = head and head:lower():match("\r\ncontent%-length:[ ]*(%d+)\r\n")
    return length and #text - from + 1 >= tonumber(length)
end

local function receive(by_fd, fds)
    for fd, item in pairs(fds) do
        if item.revents and (item.revents.IN or item.revents.HUP or item.revents.ERR) then
            local bytes = socket.recv(fd, 65536)
            local request = by_fd[fd]
            local is_over = not bytes or bytes == ""
            if not is_over then
                request.parts[#request.parts + 1] = bytes
                is_over = request.until_whole and is_whole(request)
            end
            if is_over then
                finish(request)
                by_fd[fd], fds[fd] = nil, nil
            end
        end
    end
end

--- Waits until all these requests have their answers; those that have none after so many seconds
-- (default 30) get an err.  Returns them.
function _M.finish(requests, seconds)
    local deadline = run.now() + (seconds or 30)
    local by_fd, fds = {}, {}
    for _, request in ipairs(requests) do
        if request.fd then
            by_fd[request.fd] = request
            fds[request.fd] = { events = { IN = true } }
        end
    end
    while next(fds) do
        local left = deadline - run.now()
        if left <= 0 or poll.poll(fds, math.ceil(left * 1000)) == 0 then
            break
        end
        receive(by_fd, fds)
    end
    for _, request in pairs(by_fd) do
        request:abort()
        request.err = "no answer in time"
    end
    return requests
end

--- Waits for one.
function Request:wait(seconds)
    return _M.finish({ self }, seconds)[1]
end

--- Sends a request and waits.
function _M.request(target, uri, options)
    return _M.send(target, uri, options):wait(options and options.seconds)
end

--- Sends n requests at once and waits for all.  uri: a string, or a function of 1 to n.
function _M.many(target, n, uri, options)
    local requests = {}
    for i = 1, n do
        requests[i] = _M.send(target, type(uri) == "function" and uri(i) or uri, options)
    end
    return _M.finish(requests, options and options.seconds)
end

--- The q-quantile (0..1) of the seconds that requests took.
function _M.quantile(requests, q)
    local list = {}
    for i, request in ipairs(requests) do
        list[i] = assert(request.seconds, request.err)
    end
    table.sort(list)
    return list[math.max(1, math.ceil(#list * q))]
end

return _M
