--- Who may pass: bearer tokens that say nothing by themselves, so an authorization server is asked
-- about each (RFC 7662), and what it said is remembered.

local cjson = require "cjson.safe"
local ffi = require "ffi"
local http = require "http"
local tandem = require "resty.tandem"

ffi.cdef [[unsigned char *SHA256(const unsigned char *data, size_t length, unsigned char *digest);]]

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

-- A token is as good as a password, and keys are seen by many: by MONITOR, in Redis's slow log, its
-- dumps and backups, in a list of keys.  Nobody gets from the hash to the token.
local function key_of(token)
    local digest = ffi.new("unsigned char[32]")
    ffi.C.SHA256(token, #token, digest) -- of the OpenSSL that nginx has
    return ngx.encode_base64(ffi.string(digest, 32))
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
    local said, err = tokens:fetch(key_of(found[1]), introspect, found[1])
    if err then
        ngx.log(ngx.ERR, err)
        return ngx.exit(503) -- neither known to be good nor to be bad
    end
    return said or refuse('Bearer error="invalid_token"')
end

return _M
