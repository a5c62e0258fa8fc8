--- A limit of requests by client: a counter for each window of time, which begins with the first
-- request in it.  Counting is one atomic operation of Redis, so no two requests have one number,
-- whatever worker or host they are on; the counter's end is set when it is made, and never moved.

local tandem = require "resty.tandem"

local LIMIT, WINDOW = 5, 10 -- so many requests in so many seconds

local _M = {}

local counters

--- To be called in init_by_lua*.
function _M.open(redis)
    counters = assert(tandem.new("limit", { memory = "8m", redis = redis }))
end

--- To be called in access_by_lua*.
function _M.check()
    local client = ngx.var.binary_remote_addr
    local count, err = counters:incr(client, 1, 0, WINDOW)
    if not count then
        ngx.log(ngx.ERR, "not limited: ", err) -- no reason to turn everybody away
        return
    end
    ngx.header["X-RateLimit-Remaining"] = math.max(0, LIMIT - count)
    if count > LIMIT then
        ngx.header["Retry-After"] = math.ceil(counters:ttl(client) or WINDOW)
        return ngx.exit(429)
    end
end

return _M
