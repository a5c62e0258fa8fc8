--- Stands in for apisix.plugin: what conf/config.yaml says of a plugin; and runs its access phase,
-- of which APISIX sends the answer, if there is one.

local cjson = require "cjson"

local _M = { attributes = {} }

--- Returns the attributes of a plugin, if it has any.
function _M.plugin_attr(name)
    return _M.attributes[name]
end

--- Runs a plugin in the access phase of a request to a route.
function _M.run(plugin, conf, route)
    local status, body = plugin.access(conf, { route_id = route })
    if status then
        ngx.status = status
        ngx.header["Content-Type"] = "application/json"
        ngx.say(cjson.encode(body))
        return ngx.exit(status)
    end
end

return _M
