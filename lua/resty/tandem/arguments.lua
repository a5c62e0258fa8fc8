--- What the arguments of a cache's methods must be.  Each function answers nil, or a sentence that
-- names the argument and what was given, for the method to raise at its caller's line.

local each = require "resty.tandem.each"
local options = require "resty.tandem.options"
local text = require "resty.tandem.text"

local floor = math.floor
local format = string.format
local show = text.show
local sub = string.sub
local type = type

-- Names that belong to the library under each prefix: fleet locks and what belongs to tags.
local RESERVED = "#tandem:"

local _M = { RESERVED = RESERVED, RESERVED_FIRST = RESERVED:byte(), RESERVED_LENGTH = #RESERVED }

--- A method was called on a closed cache, or with a dot.
function _M.not_open(self)
    if type(self) ~= "table" or not self.name then
        return "a method of a cache must be called with a colon, as in cache:get(key)"
    end
    return format('cache "%s" is closed', self.name)
end

function _M.key(self, key, label)
    label = label or "key"
    if type(key) ~= "string" then
        return format("%s must be a string, got %s", label, show(key))
    elseif key == "" then
        return label .. " must not be empty"
    elseif #key > self.key_limit then
        return format("%s must be at most %d bytes long, got %d bytes", label, self.key_limit, #key)
    elseif sub(key, 1, #RESERVED) == RESERVED then
        return format('%s must not begin with "%s", which is reserved, got %s', label, RESERVED,
                      show(key))
    end
end

--- An array of keys.
function _M.keys(self, keys)
    if type(keys) ~= "table" then
        return "keys must be an array of strings, got " .. show(keys)
    end
    local n = #keys
    for index in each(keys) do
        if type(index) ~= "number" or index < 1 or index > n or index ~= floor(index) then
            return "keys must be an array of strings, got a table with the index " .. show(index)
        end
    end
    for i = 1, n do
        local problem = _M.key(self, keys[i], "keys[" .. i .. "]")
        if problem then
            return problem
        end
    end
end

--- @return ttl in milliseconds; or nil and a sentence
function _M.ttl(ttl, label)
    local ms, must = options.check_ttl(ttl)
    if not ms then
        return nil, format("%s %s, got %s", label or "ttl", must, show(ttl))
    end
    return ms
end

--- A number that is exact as a whole one, or nil.
function _M.number(value, label)
    if value == nil then
        return nil
    elseif type(value) ~= "number" or not (value >= -2^53 and value <= 2^53) then
        return format("%s must be a number from -2^53 to 2^53, got %s", label, show(value))
    end
end

--- A table of options, each true or false; or nil.
function _M.flags(given, names)
    if given == nil then
        return nil
    elseif type(given) ~= "table" then
        return "opts must be a table, got " .. show(given)
    end
    for name, value in each(given) do
        if not names[name] then
            return "unknown option opts." .. (type(name) == "string" and text.shorten(name)
                                              or show(name))
        elseif type(value) ~= "boolean" then
            return format("opts.%s must be true or false, got %s", name, show(value))
        end
    end
end

function _M.glob(pattern, label)
    if type(pattern) ~= "string" then
        return format("%s must be a string, got %s", label, show(pattern))
    end
end

--- A count of at least 1, or nil.
function _M.count(value, label)
    if value == nil then
        return nil
    elseif type(value) ~= "number" or value < 1 or value ~= floor(value) or value == math.huge then
        return format("%s must be a whole number >= 1, got %s", label, show(value))
    end
end

return _M
