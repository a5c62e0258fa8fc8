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

local text = require "resty.tandem.text"

local format = string.format
local pcall = pcall
local require = require
local tostring = tostring
local type = type

local _M = {}

-- ngx.null and cjson.null are the same light userdata, which prints like this in every LuaJIT.
local function is_null(value)
    return type(value) == "userdata" and tostring(value) == "userdata: NULL"
end

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

-- An instance of its own: what the application sets in cjson does not change what is stored.
local function make_json()
    local found, cjson = pcall(require, "cjson.safe")
    if not found then
        return nil, 'opts.codec = "json" needs lua-cjson, and require "cjson.safe" failed'
    end
    local json = cjson.new()
    -- As many digits as this cjson allows, so that large whole numbers survive.
    if not pcall(json.encode_number_precision, 16) then
        json.encode_number_precision(14)
    end
    local encode, decode = json.encode, json.decode

    local codec = { name = "json" }

    function codec.encode(value)
        local problem = absent(value)
        if problem then
            return nil, problem, true
        end
        local bytes, err = encode(value)
        if bytes then
            return bytes
        end
        return nil, "value cannot be written as JSON: " .. tostring(err)
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

    local codec = { name = "buffer" }

    function codec.encode(value)
        local problem = absent(value)
        if problem then
            return nil, problem, true
        elseif type(value) == "cdata" then
            return nil, "value must not be cdata", true
        end
        local ok, bytes = pcall(encode, value)
        if ok then
            return bytes
        end
        return nil, "value cannot be written by string.buffer: " .. tostring(bytes)
    end

    function codec.decode(bytes)
        local ok, value = pcall(decode, bytes)
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
            return nil, format('codec "%s" cannot encode the value: %s', name, tostring(bytes))
        elseif bytes == nil and err ~= nil then
            return nil, format('codec "%s" cannot encode the value: %s', name, tostring(err))
        end
        return nil, format('codec "%s" must encode to a string, got %s', name, type(bytes))
    end

    function codec.decode(bytes)
        local ok, value, err = pcall(user_decode, bytes)
        if not ok then
            return nil, tostring(value)
        elseif value == nil then
            return nil, err ~= nil and tostring(err) or "it decodes to nil"
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
