--- Stands in for what Kong does with a plugin's schema.

local _M = {}

package.preload["kong.db.schema.typedefs"] = function()
    return { protocols_http = {} }
end

-- Returns the rows of the record that a field of a schema is.
local function fields_of(schema, name)
    for _, field in ipairs(schema.fields) do
        if field[name] then
            return field[name].fields
        end
    end
end

--- Returns a configuration that has the defaults of the schema, and all that is required.
function _M.configure(schema, given)
    local conf = {}
    for _, field in ipairs(fields_of(schema, "config")) do
        local name, row = next(field)
        conf[name] = given[name] == nil and row.default or given[name]
        assert(type(conf[name]) == row.type, "schema: " .. name .. " is a " .. row.type)
    end
    return conf
end

return _M
