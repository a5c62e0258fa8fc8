-- freeze = true: what is read cannot be changed.

local caches = require "spec.support.caches"
local freeze = require "resty.tandem.freeze"
local run = require "spec.support.run"
local tandem = require "resty.tandem"

local MESSAGE = "this table belongs to a cache with freeze = true, and cannot be changed: "

local function refuses(fn)
    local ok, err = pcall(fn)
    assert.is_false(ok)
    assert.is_truthy(err:find("freeze_spec.lua:%d+: "), err)
    assert.is_truthy(err:find(MESSAGE, 1, true), err)
end

describe("a frozen table", function()
    teardown(run.cleanup)

    it("is read as before, and raises when changed, however deep", function()
        local value = freeze.freeze({ 1, 2, { 3 }, a = { b = { c = "x" } }, no = false })
        assert.are.equal(1, value[1])
        assert.are.equal(3, value[3][1])
        assert.are.equal("x", value.a.b.c)
        assert.is_false(value.no)
        assert.is_nil(value.none)
        assert.are.equal(value.a, value.a)
        refuses(function() value[1] = 2 end)
        refuses(function() value.new = 2 end)
        refuses(function() value.a.b.c = nil end)
        refuses(function() value[3][2] = 4 end)
        assert.are.equal("frozen", getmetatable(value))
        assert.is_false((pcall(setmetatable, value, {})))
    end)

    it("is walked where LuaJIT has the metamethods of Lua 5.2", function()
        local value = freeze.freeze({ 10, 20, a = { 1 } })
        local pairs_seen, ipairs_seen = {}, {}
        for key, inner in pairs(value) do
            pairs_seen[key] = type(inner) == "table" and "table" or inner
        end
        for i, inner in ipairs(value) do
            ipairs_seen[i] = inner
        end
        if freeze.complete then
            assert.are.same({ 10, 20, a = "table" }, pairs_seen)
            assert.are.same({ 10, 20 }, ipairs_seen)
            assert.are.equal(2, #value)
            assert.is_nil((select(2, pairs(value))))
        else
            assert.are.same({}, pairs_seen)
            assert.are.same({}, ipairs_seen)
            assert.are.equal(0, #value)
        end
    end)

    it("has a copy that is the caller's own", function()
        local value = freeze.freeze({ 1, { 2 }, a = { b = 1 } })
        local copy = tandem.thaw(value)
        assert.are.same({ 1, { 2 }, a = { b = 1 } }, copy)
        copy.a.b = 2
        copy[2][1] = 3
        assert.are.equal(1, value.a.b)
        assert.are.equal(2, value[2][1])
        assert.are.same({ x = { 1, { 2 }, a = { b = 1 } } }, tandem.thaw({ x = value }))
        assert.are.equal("x", tandem.thaw("x"))
    end)

    it("may refer to itself, and have one table in two places", function()
        local inner = { 1 }
        local value = { inner, inner }
        value.self = value
        value = freeze.freeze(value)
        assert.are.equal(value[1], value[2])
        assert.are.equal(value, value.self)
        local copy = tandem.thaw(value)
        assert.are.equal(copy[1], copy[2])
        assert.are.equal(copy, copy.self)
    end)
end)

describe("a cache with freeze = true", function()
    teardown(run.cleanup)

    for _, codec in ipairs({ "json", "buffer" }) do
        if codec == "json" or pcall(require, "string.buffer") then
            it("freezes what " .. codec .. " reads, near or not, one key or many", function()
                local cache = caches.open({ codec = codec, freeze = true })
                cache:set("key", { n = 1, list = { 1, 2 } })
                for _ = 1, 4 do
                    local value = cache:get("key")
                    assert.are.equal(2, value.list[2])
                    refuses(function() value.n = 2 end)
                    refuses(function() value.list[1] = 2 end)
                end
                assert.is_true(cache:stats().memory.near_hits > 0)
                local many = cache:get_multi({ "key" })
                refuses(function() many.key.n = 2 end)
            end)

            it("takes back what was read, for " .. codec, function()
                local cache = caches.open({ codec = codec, freeze = true })
                cache:set("key", { n = 1, list = { 1, 2 } })
                assert.is_true(cache:set("copy", cache:get("key")))
                assert.is_true(cache:set("part", { of = cache:get("key").list }))
                assert.are.same({ n = 1, list = { 1, 2 } }, tandem.thaw((cache:get("copy"))))
                assert.are.same({ of = { 1, 2 } }, tandem.thaw((cache:get("part"))))
            end)
        end
    end

    it("shares nothing with a handle that does not freeze", function()
        local frozen = caches.open({ codec = "json", freeze = true }, "freeze-shared")
        local plain = caches.open({ codec = "json" }, "freeze-shared")
        plain:set("key", { 1 })
        for _ = 1, 4 do
            local value = plain:get("key")
            value[1] = 1
            assert.are.same({ 1 }, value)
            refuses(function() frozen:get("key")[1] = 2 end)
        end
    end)

    it("leaves strings as they are", function()
        local cache = caches.open({ freeze = true })
        cache:set("key", "value")
        assert.are.equal("value", (cache:get("key")))
    end)
end)
