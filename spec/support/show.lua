--- Lua values as text that can be compared: "true nil 'memory'".  Used on both sides: in the
-- scripts and nginx handlers that specs run, and in the specs.

local function show(value)
    if type(value) == "string" then
        return "'" .. value:gsub("[^\32-\126]", function(c)
            return ("\\x%02x"):format(c:byte())
        end) .. "'"
    elseif type(value) == "table" then
        local parts, keys = {}, {}
        for key in pairs(value) do
            keys[#keys + 1] = key
        end
        table.sort(keys, function(a, b)
            if type(a) == type(b) and type(a) ~= "boolean" then
                return a < b
            end
            return type(a) < type(b)
        end)
        for _, key in ipairs(keys) do
            local name = type(key) == "number" and key <= #value and ""
                or type(key) == "string" and key:find("^[%a_][%w_]*$") and key .. "="
                or "[" .. show(key) .. "]="
            parts[#parts + 1] = name .. show(value[key])
        end
        return "{" .. table.concat(parts, ", ") .. "}"
    end
    return tostring(value)
end

--- All arguments, nils included.
return function(...)
    local parts = {}
    for i = 1, select("#", ...) do
        parts[i] = show((select(i, ...)))
    end
    return table.concat(parts, " ")
end
