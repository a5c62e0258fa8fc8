--- What the arguments of a cache's methods must be.  Each function answers nil, or a sentence that
-- names the argument and what was given, for the method to raise at its caller's line.

local each = require "resty.tandem.each"
local options = require "resty.tandem.options"
local text = require "resty.tandem.text"

local byte = string.byte
local char = string.char
local concat = table.concat
local floor = math.floor
local format = string.format
local show = text.show
local sub = string.sub
local type = type

-- Names that belong to the library under each prefix: fleet locks and what belongs to tags.
local RESERVED = "#tandem:"

local FIRST, LENGTH = RESERVED:byte(), #RESERVED

-- For the paths of hits, which look for themselves.
local _M = { RESERVED = RESERVED, RESERVED_FIRST = FIRST, RESERVED_LENGTH = LENGTH }

--- Is it one of those names?
local function is_reserved(key)
    return byte(key) == FIRST and sub(key, 1, LENGTH) == RESERVED
end
_M.is_reserved = is_reserved

--- A method was called on a closed cache, or with a dot.
function _M.not_open(self)
    if type(self) ~= "table" or not self.name then
        return "a method of a cache must be called with a colon, as in cache:get(key)"
    end
    return format('cache "%s" is closed', self.name)
end

-- Names what is wrong: a thing, or the i-th of an array.
local function place(label, i)
    return i and label .. "[" .. i .. "]" or label
end

-- A string of 1 to so many bytes.
local function string_problem(value, limit, label, i)
    if type(value) ~= "string" then
        return format("%s must be a string, got %s", place(label, i), show(value))
    elseif value == "" then
        return place(label, i) .. " must not be empty"
    elseif #value > limit then
        return format("%s must be at most %d bytes long, got %d bytes", place(label, i), limit,
                      #value)
    end
end

-- An array, each item of which passes check(self, item, label, i).
local function array_problem(self, list, label, check)
    if type(list) ~= "table" then
        return format("%s must be an array of strings, got %s", label, show(list))
    end
    local n = #list
    for index in each(list) do
        if type(index) ~= "number" or index < 1 or index > n or index ~= floor(index) then
            return format("%s must be an array of strings, got a table with the index %s", label,
                          show(index))
        end
    end
    for i = 1, n do
        local problem = check(self, list[i], label, i)
        if problem then
            return problem
        end
    end
end

--- A key.
-- @param label what it is called, or the array is of which it is the i-th
function _M.key(self, key, label, i)
    label = label or "key"
    local problem = string_problem(key, self.key_limit, label, i)
    if problem then
        return problem
    elseif is_reserved(key) then
        return format('%s must not begin with "%s", which is reserved, got %s', place(label, i),
                      RESERVED, show(key))
    end
end

--- An array of keys.
function _M.keys(self, keys)
    return array_problem(self, keys, "keys", _M.key)
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

local TAG_LIMIT, TAGS_LIMIT = 200, 1000

local function no_tags(self)
    if not self.tags then
        return format('tags need tags = true in the options of cache "%s"', self.name)
    end
end

--- A tag.
-- @param label, i as those of a key
function _M.tag(self, tag, label, i)
    return no_tags(self) or string_problem(tag, TAG_LIMIT, label or "tag", i)
end

-- Adds tags that are new to the parts; returns how many there are then.
local function add_tags(parts, seen, count, tags)
    for i = 1, #tags do
        local tag = tags[i]
        if not seen[tag] then
            seen[tag] = true
            count = count + 1
            parts[count] = char(#tag) .. tag
        end
    end
    return count
end

--- An array of tags, in which each may come twice.
-- @param label what it is called
-- @param more nil, or more tags, which have been checked
-- @return all of them as C wants them, "" for none; or nil and a sentence
function _M.tags(self, tags, label, more)
    if tags == nil then
        return ""
    end
    local problem = no_tags(self) or array_problem(self, tags, label, _M.tag)
    if problem then
        return nil, problem
    elseif #tags == 1 and not more then
        return char(#tags[1]) .. tags[1]
    end
    local parts = {}
    if not more and #tags <= TAGS_LIMIT then -- one that comes twice does no harm
        for i = 1, #tags do
            parts[i] = char(#tags[i]) .. tags[i]
        end
        return concat(parts)
    end
    local seen = {}
    local count = add_tags(parts, seen, more and add_tags(parts, seen, 0, more) or 0, tags)
    if count > TAGS_LIMIT then
        return nil, format("%s must be at most %d tags, got %d", label, TAGS_LIMIT, count)
    end
    return concat(parts)
end

--- The opts of a set.
-- @return its tags, as above; or nil and a sentence
function _M.set_options(self, opts)
    if type(opts) ~= "table" then
        return nil, "opts must be a table or nil, got " .. show(opts)
    end
    for name in each(opts) do
        if name ~= "tags" then
            return nil, "unknown option opts." .. (type(name) == "string" and text.shorten(name)
                                                   or show(name))
        end
    end
    return _M.tags(self, opts.tags, "opts.tags")
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
