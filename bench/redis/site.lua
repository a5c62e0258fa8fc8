--- The handlers that are measured: each looks up a key that memory has not got and Redis has; or
-- memcached, as a yardstick.

local redis = require "nginx.redis"

local _M = {}

local KEYS = 500000 -- as many as the suite puts into Redis
local cache, port
local number = 0

function _M.init(redis_port, proxy_port, memcached_port)
    port, _M.memcached_port = proxy_port, memcached_port
    cache = assert(require("resty.tandem").new("bench", {
        memory = "1m", near = false, redis = "redis://127.0.0.1:" .. proxy_port .. "/0",
    }))
    _M.redis_port = redis_port
end

local function next_key()
    number = (number + 1) % KEYS
    return "key:" .. number
end

local function answer(value)
    if not value then
        return ngx.exit(500)
    end
    ngx.header["Content-Length"] = #value
    ngx.print(value)
end

function _M.empty()
    next_key()
    answer("value")
end

function _M.tandem()
    local value, err = cache:get(next_key())
    if err then
        ngx.log(ngx.ERR, err)
    end
    answer(value)
end

function _M.peer()
    local client = redis:new()
    client:set_timeout(1000)
    local ok, err = client:connect("127.0.0.1", port)
    if not ok then
        ngx.log(ngx.ERR, err)
        return ngx.exit(500)
    end
    local value = client:get("bench:" .. next_key())
    client:set_keepalive(10000, 600)
    answer(value ~= ngx.null and value or nil)
end

local function to_memcached()
    local socket = ngx.socket.tcp()
    socket:settimeout(1000)
    assert(socket:connect("127.0.0.1", _M.memcached_port))
    return socket
end

--- Puts the same keys and values into memcached as Redis has.
function _M.fill()
    local socket, value = to_memcached(), ("v"):rep(100)
    for from = 0, KEYS - 1, 1000 do
        local lines = {}
        for i = from, from + 999 do
            lines[#lines + 1] = ("set bench:key:%d 0 0 100 noreply\r\n%s\r\n"):format(i, value)
        end
        assert(socket:send(lines))
    end
    assert(socket:send("version\r\n"))
    ngx.print(assert(socket:receive()))
    socket:close()
end

-- By its text protocol: VALUE key flags length, the value, END.
function _M.memcached()
    local socket = to_memcached()
    assert(socket:send("get bench:" .. next_key() .. "\r\n"))
    local length = assert(socket:receive()):match("^VALUE %S+ %d+ (%d+)$")
    local value = length and assert(socket:receive(tonumber(length)))
    assert(not length or socket:receive(2) and socket:receive() == "END")
    socket:setkeepalive(10000, 600)
    answer(value)
end

return _M
