--- The handlers that are measured: each looks up a key that memory has not got and Redis has.

local redis = require "nginx.redis"

local _M = {}

local KEYS = 500000 -- as many as the suite puts into Redis
local cache, port
local number = 0

function _M.init(redis_port, proxy_port)
    port = proxy_port
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

--- Which process answers, for its CPU time.
function _M.pid()
    ngx.print(ngx.worker.pid())
end

return _M
