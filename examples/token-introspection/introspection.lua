--- Who may pass: bearer tokens that say nothing by themselves, so an authorization server is asked
-- about each (RFC 7662), and what it said is remembered.

local cjson = require "cjson.safe"
local http = require "http"
local secret = require "secret"
local tandem = require "resty.tandem"

-- A token that is revoked may pass for MAX_AGE more; one that is unknown is asked about again after
-- ABSENT_AGE.  Both in seconds.
local MAX_AGE, ABSENT_AGE = 60, 5

local _M = {}

local tokens, server, authorization

--- To be called in init_by_lua*.  `authorization_server` has host, port, client and secret.
function _M.open(redis, authorization_server)
    server = authorization_server
    authorization = "Basic " .. ngx.encode_base64(server.client .. ":" .. server.secret)
    tokens = assert(tandem.new("tokens", {
        memory = "8m", redis = redis, codec = "json", ttl = MAX_AGE, neg_ttl = ABSENT_AGE,
    }))
end

-- The loader: nil is "no such token", and remembered; an error is not.
local function introspect(token)
    local status, body = http.request(server, "POST", "/introspect", {
        ["Authorization"] = authorization,
        ["Content-Type"] = "application/x-www-form-urlencoded",
    }, "token=" .. ngx.escape_uri(token))
    local said = status == 200 and cjson.decode(body)
    if type(said) ~= "table" or type(said.active) ~= "boolean" then
        return nil, "authorization server: " .. (status and "status " .. status or body)
    end
    local left = math.min(MAX_AGE, (tonumber(said.exp) or math.huge) - ngx.time())
    if not said.active or left <= 0 then
        return nil
    end
    return said, nil, left
end

local function refuse(challenge)
    ngx.header["WWW-Authenticate"] = challenge
    return ngx.exit(401)
end

--- To be called in access_by_lua*: returns what the server said of the token, or ends the request.
function _M.check()
    local found = ngx.re.match(ngx.var.http_authorization or "",
        [[^Bearer +([-\w.~+/]+=*)$]], "ijo")
    if not found then
        return refuse("Bearer")
    end
    -- The key is a hash: whoever sees keys cannot use them as tokens.
    local said, err = tokens:fetch(secret.hash(found[1]), introspect, found[1])
    if err then
        ngx.log(ngx.ERR, err)
        return ngx.exit(503) -- neither known to be good nor to be bad
    end
    return said or refuse('Bearer error="invalid_token"')
end

return _M
