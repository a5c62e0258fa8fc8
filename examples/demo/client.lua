--- An HTTP client: sends GET requests over several connections at once and measures each.

local system = require "demo.system"

local PER_CONNECTION = 20 -- requests; a new connection then may reach another worker
local ANSWER_SECONDS = 5  -- a request that takes longer is lost

local _M = {}

-- A lane sends one request after the other:
--   fd, used, path (nil: it has nothing to do), out (still to be sent), input, started, deadline

local function hang_up(lane)
    if lane.fd then
        system.close(lane.fd)
        lane.fd = nil
    end
end

local function begin(lane, port, path)
    if lane.fd and lane.used >= PER_CONNECTION then
        hang_up(lane)
    end
    lane.path, lane.input, lane.started = path, "", system.now()
    lane.deadline = lane.started + ANSWER_SECONDS
    lane.out = "GET " .. path .. " HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    if not lane.fd then
        lane.used = 0
        local fd, err = system.connect(port)
        if not fd then
            return { path = path, lost = "cannot connect: " .. err }
        end
        lane.fd = fd
    end
    lane.used = lane.used + 1
end

-- The answer in what has arrived, if it is whole.  All that the example serves has a Content-Length
-- or no body.
local function parse(input)
    local header_end = select(2, input:find("\r\n\r\n", 1, true))
    if not header_end then
        return nil
    end
    local head = input:sub(1, header_end)
    local status = tonumber(head:match("^HTTP/1%.1 (%d%d%d)"))
    local headers = {}
    for name, value in head:gmatch("\r\n([%w-]+): ([^\r]*)") do
        headers[name:lower()] = value
    end
    local body_end = header_end + tonumber(headers["content-length"] or 0)
    if #input < body_end then
        return nil
    end
    return {
        status = status, body = input:sub(header_end + 1, body_end), tier = headers["x-tier"],
        worker = tonumber(headers["x-worker"]), took_us = tonumber(headers["x-took-us"]),
        closes = headers["connection"] == "close",
    }
end

-- Goes on as far as it goes without waiting.  The answer, if it is there now.
local function proceed(lane)
    if lane.out ~= "" then
        local n, err = system.send(lane.fd, lane.out)
        if not n then
            return { lost = "cannot send: " .. err }
        end
        lane.out = lane.out:sub(n + 1)
        return nil
    end
    local part, err = system.receive(lane.fd)
    if not part then
        return { lost = "cannot receive: " .. err }
    end
    lane.input = lane.input .. part
    return parse(lane.input)
end

local function finish(lane, answer, on_answer)
    answer.path = lane.path
    answer.client_us = (system.now() - lane.started) * 1e6
    lane.path = nil
    if answer.lost or answer.closes then
        hang_up(lane)
    end
    on_answer(answer)
end

local function give_work(lanes, port, next_path, on_answer)
    local busy = false
    for _, lane in ipairs(lanes) do
        while not lane.path do
            local path = next_path()
            if not path then
                break
            end
            local failed = begin(lane, port, path)
            if failed then
                finish(lane, failed, on_answer)
            end
        end
        busy = busy or lane.path ~= nil
    end
    return busy
end

local function attend(lane, on_answer)
    local answer
    if lane.revents ~= 0 then
        answer = proceed(lane)
    end
    if not answer and system.now() > lane.deadline then
        answer = { lost = ("no answer within %d s"):format(ANSWER_SECONDS) }
    end
    if answer then
        finish(lane, answer, on_answer)
    end
end

--- Sends requests until next_path() says that there are no more, and all are answered or lost.
-- @param port of 127.0.0.1
-- @param connections how many requests are under way at once
-- @param next_path function: the path of the next request; nil: no more
-- @param on_answer function({ path=, status=, body=, tier=, worker=, took_us=, client_us= }), or
-- { path=, lost= reason }
function _M.run(port, connections, next_path, on_answer)
    local lanes = {}
    for i = 1, connections do
        lanes[i] = {}
    end
    while give_work(lanes, port, next_path, on_answer) do
        local wanted = {}
        for _, lane in ipairs(lanes) do
            if lane.path then
                lane.events = lane.out ~= "" and system.POLLOUT or system.POLLIN
                wanted[#wanted + 1] = lane
            end
        end
        system.poll(wanted, 0.1)
        for _, lane in ipairs(wanted) do
            attend(lane, on_answer)
        end
    end
    for _, lane in ipairs(lanes) do
        hang_up(lane)
    end
end

--- One request.
function _M.get(port, path)
    local left, answer = 1, nil
    _M.run(port, 1, function()
        left = left - 1
        return left == 0 and path or nil
    end, function(got)
        answer = got
    end)
    return answer
end

return _M
