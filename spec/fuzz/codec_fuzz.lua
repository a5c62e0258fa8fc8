-- Codecs: whatever bytes Redis has, to decode them is a value, or nil and a sentence; and what a
-- codec has written, it reads back.

local codec = require "resty.tandem.codec"
local drive = require "spec.fuzz.drive"

-- But "string", which has nothing to decode.
local CODECS = {
    assert(codec.check("json")), assert(codec.check("buffer")),
    assert(codec.check({ name = "mine", encode = tostring, decode = function(bytes)
        return assert(tonumber(bytes), { "not a number" })
    end })),
}

local VALUES = {
    "", "text", 0, -1, 1.5, 2 ^ 53, true, false, {}, { 1, 2, 3 }, { a = { b = { c = {} } } },
    { name = "x", list = { true, false, "y" }, n = -1e300 }, { ("long"):rep(100) },
}

local corpus = { "null", "[null]", '{"a":', "[[[[[[[[", "\"\\ud800\"", "1e999", "-", "nul", "\0" }
for _, each in ipairs(CODECS) do
    for _, value in ipairs(VALUES) do
        local bytes = each.encode(value)
        if bytes then
            corpus[#corpus + 1] = bytes
        end
    end
end

local function same(a, b)
    if type(a) ~= "table" or type(b) ~= "table" then
        return a == b
    end
    for key, value in pairs(a) do
        if not same(value, b[key]) then
            return false
        end
    end
    for key in pairs(b) do
        if a[key] == nil then
            return false
        end
    end
    return true
end

local function decode(each, bytes)
    local value, err = each.decode(bytes)
    if value == nil then
        assert(err == nil or type(err) == "string", "an error that is no sentence")
        return
    end
    assert(err == nil, "a value with an error")
    assert(type(value) ~= "cdata" and not codec.is_null(value), "what is no value")
    return value
end

drive.run(function(step)
    local each = drive.one_of(CODECS)
    if step % 16 == 0 then
        local value = drive.one_of(VALUES)
        local bytes = each.encode(value)
        assert(not bytes or each.name == "mine" or same(decode(each, bytes), value),
               "what was written is read as something else")
    end
    local value = decode(each, step % 8 == 0 and drive.bytes(300) or drive.mutate(corpus))
    if value ~= nil then
        each.encode(value) -- nor does what was read so break what writes it
    end
end)
