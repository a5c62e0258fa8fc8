--- Stands in for Kong: the functions of its PDK that the plugin uses, made of nginx's own, as far
-- as the example needs them to run alone.  It is no proof that a plugin works in Kong.

local cjson = require "cjson"

local _M = {
    request = { get_header = function(name) return ngx.req.get_headers()[name] end },
    response = {},
    log = { err = function(...) ngx.log(ngx.ERR, ...) end },
    service = { request = { set_header = ngx.req.set_header } },
}

function _M.response.exit(status, body)
    ngx.status = status
    ngx.header["Content-Type"] = "application/json"
    ngx.say(cjson.encode(body))
    return ngx.exit(status)
end

return _M
