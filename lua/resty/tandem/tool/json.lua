--- JSON, written: what the tool says to programs.  Of its own, so that the tool needs no other
-- module, and because keys need care: JSON's strings are Unicode, and keys are bytes.

local show = require "resty.tandem.tool.show"

local byte = string.byte
local concat = table.concat
local floor = math.floor
local format = string.format
local gsub = string.gsub
local huge = math.huge
local sort = table.sort
local type = type

local _M = {}

--- Stands for null.
_M.null = setmetatable({}, { __tostring = function() return "null" end })

local SHORT = { ['"'] = '\\"', ["\\"] = "\\\\", ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t" }

local function escape(character)
    return SHORT[character] or format("\\u%04x", byte(character))
end

-- What is in a page between tags, or a line of JavaScript, ends neither.
local function string_of(text)
    return '"' .. gsub(gsub(text, '[%z\1-\31"\\\127<>&]', escape), "\226\128([\168\169])",
                       { ["\168"] = "\\u2028", ["\169"] = "\\u2029" }) .. '"'
end

local function number_of(n)
    if n ~= n or n == huge or n == -huge then
        return "null"
    end
    if n == floor(n) and math.abs(n) < 2 ^ 63 then
        return format("%.0f", n)
    end
    local short = format("%.14g", n) -- 0.1 rather than 0.10000000000000001
    return tonumber(short) == n and short or format("%.17g", n)
end

local encode

local function object_of(value)
    local names, parts = {}, {}
    for name in pairs(value) do
        names[#names + 1] = name
    end
    sort(names)
    for i, name in ipairs(names) do
        parts[i] = string_of(name) .. ":" .. encode(value[name])
    end
    return "{" .. concat(parts, ",") .. "}"
end

local function array_of(value)
    local parts = {}
    for i, item in ipairs(value) do
        parts[i] = encode(item)
    end
    return "[" .. concat(parts, ",") .. "]"
end

function encode(value)
    local kind = type(value)
    if value == _M.null then
        return "null"
    elseif kind == "string" then
        return string_of(show.is_utf8(value) and value or show.text(value))
    elseif kind == "number" then
        return number_of(value)
    elseif kind == "boolean" then
        return tostring(value)
    elseif kind == "table" and (value[1] ~= nil or value.is_array) then
        return array_of(value)
    end
    return object_of(value)
end

--- A value as JSON, on one line, the names of objects in order.  Tables with a [1], or with
-- is_array, are arrays.
_M.encode = encode

local DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

local function digit(n)
    return DIGITS:sub(n + 1, n + 1)
end

function _M.base64(bytes)
    local text = gsub(bytes, "(.)(.?)(.?)", function(a, b, c)
        local n = byte(a) * 65536 + (byte(b) or 0) * 256 + (byte(c) or 0)
        return digit(floor(n / 262144)) .. digit(floor(n / 4096) % 64)
            .. (b == "" and "=" or digit(floor(n / 64) % 64)) .. (c == "" and "=" or digit(n % 64))
    end)
    return text
end

--- Puts bytes into an object: under the name when they are UTF-8, else as base64 under name_base64.
function _M.put_bytes(object, name, bytes)
    if show.is_utf8(bytes) then
        object[name] = bytes
    else
        object[name .. "_base64"] = _M.base64(bytes)
    end
    return object
end

return _M
