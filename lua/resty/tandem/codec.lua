--- Codecs: how a Lua value becomes the bytes that both tiers hold, and back.
--
-- A codec object has
--   name      part of the cache's identity
--   encode    function(value) -> bytes; nil, err for a value it cannot express; nil, err, true for
--             one that is no value to it at all, which is a mistake of the caller
--   decode    function(bytes) -> value; or nil, err.  nil: bytes are the value
--
-- A null on its own is not a value (nil says "absent", and ngx.null must not leak), so encode
-- refuses it, and one that another program stored decodes to nil.  Nulls inside a table are left
-- as the codec has them: cjson.null, which in nginx is ngx.null.

local each = require "resty.tandem.each"
local lib = require "resty.tandem.lib"
local text = require "resty.tandem.text"

local abs = math.abs
local floor = math.floor
local format = string.format
local pairs = pairs
local pcall = pcall
local require = require
local sentence = text.sentence
local tonumber = tonumber
local tostring = tostring
local type = type

local _M = {}

-- ngx.null and cjson.null are the same light userdata, which prints like this in every LuaJIT.
local function is_null(value)
    return type(value) == "userdata" and tostring(value) == "userdata: NULL"
end

_M.is_null = is_null

local function absent(value)
    if value == nil then
        return "value must not be nil: use delete"
    elseif is_null(value) then
        return "value must not be null: use delete"
    end
end

-- -- Strings -------------------------------------------------------------------------------------

local STRING = { name = "string" }

function STRING.encode(value)
    if type(value) == "string" then
        return value
    end
    local problem = absent(value)
        or format('value must be a string, got %s: use codec = "json" or "buffer"', type(value))
    return nil, problem, true
end

-- -- JSON ----------------------------------------------------------------------------------------

local DEEPEST = 1000 -- as in cjson

-- Fractions lose what is behind the last digit; whole numbers must not, being names of something.
local function number_problem(value, digits)
    if value == floor(value) and abs(value) >= 10 ^ digits
       and tonumber(format("%." .. digits .. "g", value)) ~= value then
        return format("%.0f has more digits than the %d that this lua-cjson writes", value, digits)
    end
end

-- What a value has in it that JSON would change without a word: its objects have strings as keys,
-- and its arrays no holes.
local function json_problem(value, digits, depth)
    if type(value) == "number" then
        return number_problem(value, digits)
    elseif type(value) ~= "table" then
        return nil
    end
    local n, largest, has_string = 0, 0, false
    if depth > DEEPEST then
        return "it is nested too deeply"
    end
    for key, inner in each(value) do
        if type(key) == "string" then
            has_string = true
        elseif type(key) == "number" then
            if key < 1 or key ~= floor(key) then
                return format("the key %.14g is a number, and not one of an array", key)
            end
            n, largest = n + 1, key > largest and key or largest
        end
        local problem = json_problem(inner, digits, depth + 1)
        if problem then
            return problem
        end
    end
    if n > 0 and has_string then
        return "a table has both strings and numbers as keys"
    elseif n ~= largest then
        return format("an array has holes: %d items, the last of which is number %.14g", n, largest)
    end
end

-- An instance of its own: what the application sets in cjson does not change what is stored.
local function make_json()
    local found, cjson = pcall(require, "cjson.safe")
    if not found then
        return nil, 'opts.codec = "json" needs lua-cjson, and require "cjson.safe" failed'
    end
    local json = cjson.new()
    -- As many digits as this cjson allows, so that large whole numbers survive.
    local digits = pcall(json.encode_number_precision, 16) and 16 or 14
    json.encode_number_precision(digits)
    json.decode_invalid_numbers(false) -- no NaN, no 0x10, and 007 is no 7
    local encode, decode = json.encode, json.decode

    local codec = { name = "json" }

    function codec.encode(value)
        local problem = absent(value)
        if problem then
            return nil, problem, true
        end
        local bytes, err
        problem = json_problem(value, digits, 1)
        if not problem then
            bytes, err = encode(value)
            if bytes then
                return bytes
            end
        end
        return nil, "value cannot be written as JSON: " .. (problem or tostring(err))
    end

    function codec.decode(bytes)
        local value, err = decode(bytes)
        if is_null(value) then
            return nil
        elseif value == nil then
            return nil, "not JSON: " .. tostring(err)
        end
        return value
    end

    return codec
end

-- -- string.buffer -------------------------------------------------------------------------------

local function make_buffer()
    local found, buffer = pcall(require, "string.buffer")
    if not found then
        return nil, 'opts.codec = "buffer" needs a LuaJIT with string.buffer, and this one has none'
    end
    local encode, decode = buffer.encode, buffer.decode
    -- Of tables it believes how many items they say they have, and crashes; and the LuaJIT of
    -- Debian 12 crashes where it has compiled what then raises an error.  Whoever may write to
    -- Redis could have it do so.
    local C, OK, try = lib.C, lib.C.TANDEM_OK, lib.pcall_uncompiled

    local codec = { name = "buffer" }

    function codec.encode(value)
        local problem = absent(value)
        if problem then
            return nil, problem, true
        elseif type(value) == "cdata" then
            return nil, "value must not be cdata", true
        end
        local ok, bytes = try(encode, value)
        if ok then
            return bytes
        end
        return nil, "value cannot be written by string.buffer: " .. tostring(bytes)
    end

    function codec.decode(bytes)
        if C.tandem_buffer_is_sound(bytes, #bytes) ~= OK then
            return nil, "not written by string.buffer: what it says that it holds is not there"
        end
        local ok, value = try(decode, bytes)
        if not ok then
            return nil, "not written by string.buffer: " .. tostring(value)
        elseif type(value) == "cdata" then
            return nil, "a cdata is not a value"
        elseif is_null(value) then
            return nil
        end
        return value
    end

    return codec
end

-- -- The user's own ------------------------------------------------------------------------------

local function make_custom(name, user_encode, user_decode)
    local codec = { name = name }

    function codec.encode(value)
        local problem = absent(value)
        if problem then
            return nil, problem, true
        end
        local ok, bytes, err = pcall(user_encode, value)
        if ok and type(bytes) == "string" then
            return bytes
        elseif not ok then
            return nil, format('codec "%s" cannot encode the value: %s', name, sentence(bytes))
        elseif bytes == nil and err ~= nil then
            return nil, format('codec "%s" cannot encode the value: %s', name, sentence(err))
        end
        return nil, format('codec "%s" must encode to a string, got %s', name, type(bytes))
    end

    function codec.decode(bytes)
        local ok, value, err = pcall(user_decode, bytes)
        if not ok then
            return nil, sentence(value)
        elseif value == nil then
            return nil, err ~= nil and sentence(err) or "it decodes to nil"
        elseif is_null(value) then
            return nil
        end
        return value
    end

    return codec
end

local BUILT_IN = { string = function() return STRING end, json = make_json, buffer = make_buffer }
local FIELDS = { name = true, encode = true, decode = true }
local MUST = 'must be "string", "json", "buffer" or {name=, encode=, decode=}'

local function check_custom(given)
    for field in pairs(given) do
        if not FIELDS[field] then
            return nil, nil, "unknown option opts.codec." .. text.shorten(tostring(field))
        end
    end
    local name = given.name
    if type(name) ~= "string" or not name:match("^[%w_.-]+$") or #name > 63 then
        return nil, nil, "opts.codec.name must be 1 to 63 of the characters A-Z a-z 0-9 _ . -, got "
               .. text.show(name)
    elseif BUILT_IN[name] then
        return nil, nil, "opts.codec.name must not be that of a built-in codec, got "
               .. text.show(name)
    end
    for _, field in ipairs({ "encode", "decode" }) do
        if type(given[field]) ~= "function" then
            return nil, nil, format("opts.codec.%s must be a function, got %s", field,
                                    text.show(given[field]))
        end
    end
    return make_custom(name, given.encode, given.decode)
end

--- Checks opts.codec.
-- @return a codec object; or nil and what it must be; or nil, nil and a whole sentence
function _M.check(given)
    if type(given) == "table" then
        return check_custom(given)
    end
    local make = type(given) == "string" and BUILT_IN[given]
    if not make then
        return nil, MUST
    end
    local codec, err = make()
    return codec, nil, err
end

return _M
