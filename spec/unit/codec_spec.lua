local cjson = require "cjson"

local codec = require "resty.tandem.codec"

local function round_trip(c, value)
    local bytes = assert(c.encode(value))
    assert.is_string(bytes)
    return c.decode(bytes)
end

describe("the codec string", function()
    local c = codec.check("string")

    it("passes strings through and has nothing to decode", function()
        assert.are.equal("a\0b", c.encode("a\0b"))
        assert.are.equal("", c.encode(""))
        assert.is_nil(c.decode)
    end)

    it("says how to store anything else", function()
        for _, value in ipairs({ 5, true, {}, print }) do
            local bytes, err, misuse = c.encode(value)
            assert.is_nil(bytes)
            assert.are.equal("value must be a string, got " .. type(value)
                             .. ': use codec = "json" or "buffer"', err)
            assert.is_true(misuse)
        end
        assert.are.same({ nil, "value must not be nil: use delete", true }, { c.encode(nil) })
        assert.are.same({ nil, "value must not be null: use delete", true },
                        { c.encode(cjson.null) })
    end)
end)

describe("the codec json", function()
    local c = codec.check("json")

    it("takes what JSON can express", function()
        local value = { a = { 1, 2, "x" }, b = false }
        assert.are.same(value, round_trip(c, value))
        assert.are.equal("x", round_trip(c, "x"))
        assert.are.equal(5, round_trip(c, 5))
        assert.are.equal(12345678901234, round_trip(c, 12345678901234))
        assert.is_false(round_trip(c, false))
        assert.are.equal('"x"', c.encode("x"))
    end)

    it("returns an error for what JSON cannot express", function()
        for _, value in ipairs({ { 1 / 0 }, { 0 / 0 }, { [1] = 1, [1000] = 2 }, { print },
                                 { [{}] = 1 } }) do
            local bytes, err, misuse = c.encode(value)
            assert.is_nil(bytes)
            assert.is_truthy(err:find("^value cannot be written as JSON: .+"), err)
            assert.is_nil(misuse)
        end
        local loop = {}
        loop.loop = loop
        assert.is_nil(c.encode(loop))
    end)

    it("returns an error for what would come back as something else", function()
        for _, case in ipairs({
            { { 1, 2, x = 1 }, "a table has both strings and numbers as keys" },
            { { a = { { [1] = 1, b = 2 } } }, "a table has both strings and numbers as keys" },
            { { 1, nil, 3 }, "an array has holes: 2 items, the last of which is number 3" },
            { { [2] = 1 }, "an array has holes: 1 items, the last of which is number 2" },
            { { [0] = 1 }, "the key 0 is a number, and not one of an array" },
            { { [1.5] = 1 }, "the key 1.5 is a number, and not one of an array" },
            { { a = { [-1] = 1 } }, "the key -1 is a number, and not one of an array" },
        }) do
            local bytes, err, misuse = c.encode(case[1])
            assert.is_nil(bytes)
            assert.are.equal("value cannot be written as JSON: " .. case[2], err)
            assert.is_nil(misuse)
        end
        for _, value in ipairs({ 2 ^ 53, { id = -(2 ^ 53) } }) do
            local bytes, err = c.encode(value)
            if bytes then -- this lua-cjson has 16 digits
                assert.are.same(value, c.decode(bytes))
            else
                assert.is_truthy(err:find("^value cannot be written as JSON: %-?9007199254740992"
                                 .. " has more digits than the 14 that this lua%-cjson writes$"),
                                 err)
            end
        end
        local loop = {}
        loop.a, loop.b = loop, loop
        local _, err = c.encode(loop)
        assert.are.equal("value cannot be written as JSON: it is nested too deeply", err)
    end)

    it("takes tables in tables, numbers and booleans, and empty ones", function()
        for _, value in ipairs({
            { { {}, { {} } } }, { x = { y = { 1, 2, { z = true } } } }, {}, { false, true },
            { 0, -1, 0.5, 1e300, 1e-300, 12345678901234, -0.1, 2 ^ 20 }, { ["1"] = "one" },
        }) do
            assert.are.same(value, round_trip(c, value))
        end
    end)

    it("has no nil and no null", function()
        assert.are.same({ nil, "value must not be nil: use delete", true }, { c.encode(nil) })
        assert.are.same({ nil, "value must not be null: use delete", true },
                        { c.encode(cjson.null) })
        assert.are.equal(0, select("#", c.decode("null")) - 1)
        assert.is_nil((c.decode("null")))
        assert.is_nil((select(2, c.decode("null"))))
    end)

    it("leaves nulls inside a table as cjson has them", function()
        assert.are.equal(cjson.null, round_trip(c, { a = cjson.null }).a)
    end)

    it("returns an error for foreign bytes", function()
        for _, bytes in ipairs({ "", "{", "nul", "\255\254", "[1,]", "NaN", "-inf", "[0x10]",
                                 "007" }) do
            local value, err = c.decode(bytes)
            assert.is_nil(value)
            assert.is_truthy(err:find("^not JSON: .+"), err)
        end
    end)

    it("is not changed by what the application sets in cjson", function()
        local before = cjson.encode_sparse_array()
        cjson.encode_sparse_array(true)
        local bytes = c.encode({ [1] = 1, [1000] = 2 })
        cjson.encode_sparse_array(before)
        assert.is_nil(bytes)
    end)
end)

describe("the codec buffer", function()
    local found = pcall(require, "string.buffer")

    if not found then
        it("is refused by a LuaJIT without string.buffer", function()
            local c, must, sentence = codec.check("buffer")
            assert.is_nil(c)
            assert.is_nil(must)
            assert.are.equal('opts.codec = "buffer" needs a LuaJIT with string.buffer, and this'
                             .. " one has none", sentence)
        end)
        return
    end

    local c = codec.check("buffer")

    it("takes Lua values", function()
        local value = { 1, "x", { y = true, [5] = 0.5 }, n = 1 / 0 }
        assert.are.same(value, round_trip(c, value))
        assert.are.equal("", round_trip(c, ""))
        assert.is_false(round_trip(c, false))
    end)

    it("returns an error for what it cannot write", function()
        local bytes, err, misuse = c.encode({ print })
        assert.is_nil(bytes)
        assert.is_truthy(err:find("^value cannot be written by string.buffer: .+"), err)
        assert.is_nil(misuse)
    end)

    it("decodes nothing that says it holds more than is there, which would crash LuaJIT", function()
        for _, bytes in ipairs({ "\10\255\255\255\255\255\1", "\9\255\255\255\255\255\1",
                                 ("\10\1"):rep(100000), ("\12\2"):rep(101) .. "\8",
                                 "\5\255\255\255\255\255\255\255\255", "\15\1", "\8\8" }) do
            local value, err = c.decode(bytes)
            assert.is_nil(value)
            assert.is_truthy(err:find("^not written by string.buffer: .+"), err)
        end
    end)

    it("has no nil, null or cdata", function()
        assert.are.same({ nil, "value must not be nil: use delete", true }, { c.encode(nil) })
        assert.are.same({ nil, "value must not be null: use delete", true },
                        { c.encode(cjson.null) })
        assert.are.same({ nil, "value must not be cdata", true }, { c.encode(5LL) })
        local buffer = require "string.buffer"
        assert.are.same({ nil, "a cdata is not a value" }, { c.decode(buffer.encode(5LL)) })
        assert.is_nil((c.decode(buffer.encode(cjson.null))))
    end)

    it("returns an error for foreign bytes", function()
        for _, bytes in ipairs({ "", "\255\255", "\7" }) do
            local value, err = c.decode(bytes)
            assert.is_nil(value)
            assert.is_truthy(err:find("^not written by string.buffer: .+"), err)
        end
    end)
end)

describe("a codec of the user's own", function()
    local function made(encode, decode)
        return assert(codec.check({ name = "own", encode = encode, decode = decode or tostring }))
    end

    it("is used", function()
        local c = made(function(v) return "<" .. v .. ">" end, function(s) return s:sub(2, -2) end)
        assert.are.equal("own", c.name)
        assert.are.equal("<5>", c.encode(5))
        assert.are.equal("5", c.decode("<5>"))
    end)

    it("may say no, or throw", function()
        assert.are.same({ nil, 'codec "own" cannot encode the value: no' },
                        { made(function() return nil, "no" end).encode(1) })
        assert.are.same({ nil, 'codec "own" cannot encode the value: oh' },
                        { made(function() error("oh", 0) end).encode(1) })
        assert.are.same({ nil, 'codec "own" must encode to a string, got number' },
                        { made(function() return 5 end).encode(1) })
        assert.are.same({ nil, 'codec "own" must encode to a string, got nil' },
                        { made(function() end).encode(1) })
        local function decoded_by(decode)
            return { made(tostring, decode).decode("x") }
        end
        assert.are.same({ nil, "oh" }, decoded_by(function() error("oh", 0) end))
        assert.are.same({ nil, "bad" }, decoded_by(function() return nil, "bad" end))
        assert.are.same({ nil, "it decodes to nil" }, decoded_by(function() end))
        assert.is_nil((made(tostring, function() return cjson.null end).decode("x")))
    end)

    it("may throw what is no text either", function()
        local silent = setmetatable({}, { __tostring = function() error("no text") end })
        assert.are.same({ nil, 'codec "own" cannot encode the value: an error that is a table' },
                        { made(function() error(silent) end).encode(1) })
        assert.are.same({ nil, "an error that is a table" },
                        { made(tostring, function() error(silent) end).decode("x") })
        assert.are.same({ nil, "an error that is a table" },
                        { made(tostring, function() return nil, silent end).decode("x") })
    end)

    it("is checked", function()
        local rule = "opts.codec.name must be 1 to 63 of the characters A-Z a-z 0-9 _ . -, got "
        for _, case in ipairs({
            { {}, rule .. "nil" },
            { { name = "a b", encode = print, decode = print }, rule .. '"a b"' },
            { { name = "json", encode = print, decode = print },
              'opts.codec.name must not be that of a built-in codec, got "json"' },
            { { name = "x", decode = print }, "opts.codec.encode must be a function, got nil" },
            { { name = "x", encode = print, decode = 5 },
              "opts.codec.decode must be a function, got 5" },
            { { name = "x", encode = print, decode = print, version = 1 },
              "unknown option opts.codec.version" },
        }) do
            local c, must, sentence = codec.check(case[1])
            assert.is_nil(c)
            assert.is_nil(must)
            assert.are.equal(case[2], sentence)
        end
    end)
end)
