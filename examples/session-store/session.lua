--- Sessions: the user has a random id in a cookie, the cache has what belongs to it, for all
-- workers and hosts.

local secret = require "secret"
local tandem = require "resty.tandem"

-- In seconds: a session ends when it has not been used for IDLE, and in any case after LIFETIME.
-- It is renewed once in RENEW at most, so that most requests find it in memory and write nothing.
local IDLE, LIFETIME, RENEW = 1800, 12 * 3600, 60

local _M = {}

local sessions, flags

--- To be called in init_by_lua*.  `secure`: the cookie is for HTTPS only, as it should be.
function _M.open(redis, secure)
    flags = "; Path=/; HttpOnly; SameSite=Lax" .. (secure and "; Secure" or "")
    sessions = assert(tandem.new("sessions", {
        memory = "8m", redis = redis, codec = "json", ttl = IDLE,
        on_redis_error = "fail", -- who logs out is out on all hosts, or is told that it failed
    }))
end

local function unavailable(err)
    ngx.log(ngx.ERR, err)
    return ngx.exit(503)
end

-- Returns the key of the session that the request says it has, if any: a hash, so that whoever sees
-- keys has no ids.
local function current()
    local id = ngx.var.cookie_sid
    return id and secret.hash(id)
end

-- Never brings back a session that has been deleted meanwhile.
local function renew(key)
    local left = sessions:ttl(key)
    if left and left < IDLE - RENEW then
        local _, err = sessions:touch(key)
        if err then
            ngx.log(ngx.ERR, "session not renewed: ", err)
        end
    end
end

--- Begins a session, under a new id whatever the request had: nobody can have planted it.
function _M.start(user)
    _M.finish()
    local id = secret.new()
    local ok, err = sessions:set(secret.hash(id), { user = user, started = ngx.time() })
    if not ok then
        return unavailable(err)
    end
    ngx.header["Set-Cookie"] = "sid=" .. id .. flags
end

--- To be called in access_by_lua*: returns the session, or ends the request.
function _M.check()
    local key = current()
    if not key then
        return ngx.exit(401)
    end
    local session, err = sessions:get(key)
    if err then
        return unavailable(err)
    end
    if not session or ngx.time() - session.started >= LIFETIME then
        return ngx.exit(401)
    end
    renew(key)
    return session
end

--- Ends the session, if there is one.
function _M.finish()
    local key = current()
    if key then
        local existed, err = sessions:delete(key)
        if existed == nil then
            return unavailable(err)
        end
    end
    ngx.header["Set-Cookie"] = "sid=" .. flags .. "; Max-Age=0"
end

return _M
