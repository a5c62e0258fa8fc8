--- Tables that cannot be changed, for caches whose values several callers share.
--
-- A frozen table is an empty table in front of the one with the content, and so is each table in
-- it.  Reading an index goes through, writing one raises.  Where LuaJIT is built with Lua 5.2's
-- metamethods (OpenResty's is, Debian's is not), pairs, ipairs and # go through as well.  What
-- looks into a table directly (next, rawget, table.concat, unpack, an encoder) sees the empty one,
-- for which there is thaw.

local each = require "resty.tandem.each"

local error = error
local next = next
local setmetatable = setmetatable
local type = type

local _M = {}

local content = setmetatable({}, { __mode = "k" }) -- frozen table -> the table behind it

local function refuse()
    error("this table belongs to a cache with freeze = true, and cannot be changed: change a copy"
          .. " of it, which tandem.thaw(value) is", 2)
end

-- The table behind must not get out, as the loop's state would.
local function walk(of)
    local key
    return function()
        local value
        key, value = next(of, key)
        return key, value
    end
end

local function walk_array(of)
    local i = 0
    return function()
        i = i + 1
        local value = of[i]
        if value ~= nil then
            return i, value
        end
    end
end

local function freeze_table(of)
    local frozen = setmetatable({}, {
        __index = of,
        __newindex = refuse,
        __len = function() return #of end,
        __pairs = function() return walk(of) end,
        __ipairs = function() return walk_array(of) end,
        __metatable = "frozen",
    })
    content[frozen] = of
    return frozen
end

local function freeze(value, seen)
    if type(value) ~= "table" or content[value] then
        return value
    elseif not seen[value] then
        seen[value] = freeze_table(value)
        for key, inner in each(value) do
            if type(inner) == "table" then
                value[key] = freeze(inner, seen)
            end
        end
    end
    return seen[value]
end

--- Freezes a value, with all tables in it.  The value itself is no longer to be used.
function _M.freeze(value)
    return freeze(value, {})
end

local function thaw(value, seen)
    if type(value) ~= "table" then
        return value
    elseif not seen[value] then
        local copy = {}
        seen[value] = copy
        for key, inner in each(content[value] or value) do
            copy[key] = thaw(inner, seen)
        end
    end
    return seen[value]
end

--- A copy of a value that may be frozen, or have something frozen in it: the caller's own.
function _M.thaw(value)
    return thaw(value, {})
end

--- Is there something frozen in a value that is a table?
local function has_frozen(value, seen)
    if content[value] then
        return true
    end
    seen[value] = true
    for _, inner in each(value) do
        if type(inner) == "table" and not seen[inner] and has_frozen(inner, seen) then
            return true
        end
    end
    return false
end

--- What an encoder can see: the value, or a copy of it when something in it is frozen.
function _M.plain(value)
    return type(value) == "table" and has_frozen(value, {}) and thaw(value, {}) or value
end

--- A codec like this one whose tables come out frozen, and go in that way too.
function _M.codec(codec)
    local encode, decode = codec.encode, codec.decode
    if not decode then
        return codec
    end
    return {
        name = codec.name,
        encode = function(value)
            return encode(_M.plain(value))
        end,
        decode = function(bytes)
            local value, err = decode(bytes)
            return _M.freeze(value), err
        end,
    }
end

--- Do pairs, ipairs and # see what is in a frozen table?
_M.complete = #freeze_table({ 1 }) == 1

return _M
