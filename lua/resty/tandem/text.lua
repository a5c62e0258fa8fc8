--- How values and errors that users and other programs gave are shown in messages: values short,
-- printable, no secrets.

local byte = string.byte
local format = string.format
local gsub = string.gsub
local pcall = pcall
local sub = string.sub
local tostring = tostring
local type = type

local LONGEST = 48

local _M = {}

local function escaped(character)
    return format("\\x%02x", byte(character))
end

--- At most 48 bytes of a string, with what is not printable ASCII escaped.
function _M.shorten(value)
    local short = gsub(sub(value, 1, LONGEST), "[^\32-\126]", escaped)
    return #value > LONGEST and short .. "..." or short
end

--- A string in quotes, a number or boolean as it is, anything else by its type.
function _M.show(value)
    local kind = type(value)
    if kind == "string" then
        return '"' .. _M.shorten(value) .. '"'
    elseif kind == "number" then
        return value == math.floor(value) and math.abs(value) < 1e15 and format("%.0f", value)
               or tostring(value)
    elseif kind == "boolean" or kind == "nil" then
        return tostring(value)
    elseif kind == "cdata" then
        return "cdata"
    end
    return kind
end

--- Any error value as a sentence.
function _M.sentence(err)
    if type(err) == "string" then
        return err
    end
    local ok, words = pcall(tostring, err)
    return ok and type(words) == "string" and words or "an error that is a " .. type(err)
end

return _M
