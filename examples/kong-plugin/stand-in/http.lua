--- Stands in for lua-resty-http, which Kong has and Debian does not: requests without options.

local http = require "http"

local _M = {}

--- Returns a client.
function _M.new()
    return _M
end

--- Returns an answer, a table with status and body; or nil and an error.
function _M:request_uri(uri) -- luacheck: no self
    local host, port, path = uri:match("^http://([^:/]+):(%d+)(/.*)$")
    local status, body = http.request({ host = host, port = tonumber(port) }, "GET", path)
    if not status then
        return nil, body
    end
    return { status = status, body = body }
end

return _M
