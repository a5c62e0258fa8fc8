--- Plays the authorization server, so that the example runs alone: it knows the tokens that it has
-- issued, until they are revoked.

local cjson = require "cjson"

local issued = ngx.shared.issued

local _M = {}

--- GET /issue?token=...&seconds=...
function _M.issue()
    local exp = ngx.time() + (tonumber(ngx.var.arg_seconds) or 3600)
    assert(issued:set(ngx.var.arg_token, exp))
    ngx.say("issued")
end

--- GET /revoke?token=...
function _M.revoke()
    issued:delete(ngx.var.arg_token)
    ngx.say("revoked")
end

--- POST /introspect, as in RFC 7662.
function _M.introspect()
    if ngx.var.http_authorization ~= "Basic " .. ngx.encode_base64("api:secret") then
        return ngx.exit(401)
    end
    ngx.req.read_body()
    local exp = issued:get(ngx.req.get_post_args().token or "")
    ngx.header["Content-Type"] = "application/json"
    ngx.say(cjson.encode(exp and { active = true, sub = "alice", exp = exp } or { active = false }))
end

return _M
