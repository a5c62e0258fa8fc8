--- One request to an HTTP server, in as few lines as serve the examples here: HTTP/1.0, whose
-- answer ends with its connection.  Where there is TLS, or connections are kept: lua-resty-http.
-- A cosocket, unlike a subrequest, also works under HTTP/2, and in timers, where `fetch` makes
-- values in the background.

local _M = {}

local function exchange(socket, server, text)
    local ok, err = socket:connect(server.host, server.port)
    if ok then
        ok, err = socket:send(text)
    end
    if not ok then
        return nil, err
    end
    return socket:receive("*a")
end

-- Names are in lower case; of a header that comes twice the last one counts.
local function headers_of(head)
    local headers = {}
    for name, value in head:gmatch("\n([^:\r\n]+): *([^\r\n]*)") do
        headers[name:lower()] = value
    end
    return headers
end

--- Returns the status, the body and the headers of the answer; or nil and an error.
function _M.request(server, method, path, headers, body)
    body = body or ""
    local lines = { method .. " " .. path .. " HTTP/1.0", "Host: " .. server.host }
    for name, value in pairs(headers or {}) do
        lines[#lines + 1] = name .. ": " .. value
    end
    lines[#lines + 1] = "Content-Length: " .. #body .. "\r\n\r\n" .. body
    local socket = ngx.socket.tcp()
    socket:settimeouts(1000, 5000, 5000)
    local answer, err = exchange(socket, server, table.concat(lines, "\r\n"))
    socket:close()
    if not answer then
        return nil, err
    end
    local head, content = answer:match("^(HTTP/1%.[01] %d%d%d.-\r\n)\r\n(.*)$")
    local answered = head and headers_of(head)
    local status = head and tonumber(head:match(" (%d%d%d)"))
    local length = head and status ~= 304 and tonumber(answered["content-length"])
    if not head or length and length ~= #content then
        return nil, "no whole HTTP answer"
    end
    return status, content, answered
end

return _M
