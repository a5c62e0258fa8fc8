--- Stands in for apisix.core: the functions that the plugin uses, as far as the example needs them
-- to run alone.  It is no proof that a plugin works in APISIX.

local TYPES = { integer = "number" }

local _M = { schema = {}, log = {} }

--- Returns true, and puts in defaults; or false and what is wrong.
function _M.schema.check(schema, conf)
    for name, row in pairs(schema.properties) do
        if conf[name] == nil then
            conf[name] = row.default
        end
        local value = conf[name]
        if type(value) ~= TYPES[row.type] or value < row.minimum or value > row.maximum then
            return false, name .. " is not as the schema says"
        end
    end
    return true
end

function _M.log.warn(...)
    ngx.log(ngx.WARN, ...)
end

return _M
