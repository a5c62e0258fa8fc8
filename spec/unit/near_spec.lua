-- The near table: what a Lua VM keeps of what it has read, and when that counts.

local ffi = require "ffi"

local C = require("resty.tandem.lib").C
local nearby = require "spec.support.nearby"
local tandem = require "resty.tandem"

local fresh = nearby.fresh
local hits_of = nearby.hits_of
local pass_through = nearby.pass_through
local warm = nearby.warm
local without_near = nearby.without_near

describe("a near table", function()
    it("answers from the third get on, and every hit is counted once", function()
        local cache = fresh()
        cache:set("key", "value")
        for i, near_hits in ipairs({ 0, 0, 1, 2, 3 }) do
            local value, err, tier = cache:get("key")
            assert.are.same({ "value", nil, "memory" }, { value, err, tier })
            local stats = cache:stats()
            assert.are.equal(near_hits, stats.memory.near_hits)
            assert.are.equal(i, stats.hits)
        end
        assert.are.equal(0, cache:stats().misses)
    end)

    it("takes nothing in at the first hit", function()
        local cache = fresh()
        for i = 1, 1000 do
            cache:set("key" .. i, "value")
            cache:get("key" .. i)
        end
        assert.are.equal(0, cache.near.size)
    end)

    -- Two that share a place in the table of what was hit once must not take it from each other
    -- for ever.
    it("takes in every key of a loop", function()
        local cache = fresh({ memory = "64m" })
        local function loop(times)
            for _ = 1, times do
                for i = 1, 5000 do
                    cache:get("key" .. i)
                end
            end
        end
        for i = 1, 5000 do
            for _ = 0, i % 7 do -- so that versions differ
                cache:set("key" .. i, "value")
            end
        end
        loop(50)
        assert.are.equal(5000, (hits_of(cache, function() loop(1) end)))
    end)

    it("can be turned off", function()
        local cache = fresh({ near = false })
        cache:set("key", "value")
        assert.are.equal(0, (hits_of(cache, function()
            for _ = 1, 10 do
                assert.are.equal("value", (cache:get("key")))
            end
        end)))
    end)

    it("has values of any bytes, the empty one among them", function()
        local cache = fresh()
        for _, value in ipairs({ "", "\0", "\255\0\1", ("x"):rep(20000) }) do
            local key = "\0" .. #value
            cache:set(key, value)
            warm(cache, key)
            local near_hits = hits_of(cache, function()
                assert.are.equal(value, (cache:get(key)))
            end)
            assert.are.equal(1, near_hits)
        end
    end)

    it("never answers for a key that is not there", function()
        local cache = fresh()
        assert.are.equal(0, (hits_of(cache, function()
            for _ = 1, 5 do
                assert.is_nil((cache:get("absent")))
            end
        end)))
    end)

    it("leaves to others what is no key", function()
        local cache = fresh()
        for _, key in ipairs({ 1, true, {}, "", "#tandem:x" }) do
            assert.is_false((pcall(cache.get, cache, key)))
        end
        assert.is_false((pcall(cache.get, cache)))
        assert.is_false((pcall(cache.get, cache, 0 / 0)))
    end)

    it("is asked by exists and by get_multi, which fills it too", function()
        local cache = fresh()
        cache:set_multi({ a = "1", b = "2" })
        for _ = 1, 2 do
            assert.are.same({ a = "1", b = "2" }, (cache:get_multi({ "a", "b", "c" })))
        end
        local near_hits, segment_hits = hits_of(cache, function()
            assert.are.same({ a = "1", b = "2" }, (cache:get_multi({ "a", "c", "b", "a" })))
            assert.is_true(cache:exists("a"))
            assert.are.equal("2", (cache:get("b")))
        end)
        assert.are.same({ 4, 0 }, { near_hits, segment_hits })
    end)
end)

describe("a near table believes nothing that", function()
    local cache, other

    -- changed: what makes it another value, or none.
    local function check(changed, value)
        cache = fresh()
        other = without_near(cache)
        cache:set("key", "old")
        warm(cache, "key")
        assert.are.equal(1, (hits_of(cache, function() cache:get("key") end)))
        changed()
        local near_hits = hits_of(cache, function()
            assert.are.equal(value, (cache:get("key")))
        end)
        assert.are.equal(0, near_hits)
        if value then
            cache:get("key")
            assert.are.equal(1, (hits_of(cache, function()
                assert.are.equal(value, (cache:get("key")))
            end)))
        end
    end

    it("was set since", function()
        check(function() other:set("key", "new") end, "new")
        check(function() cache:set("key", "new") end, "new")
        check(function() other:set("key", ("new"):rep(100)) end, ("new"):rep(100))
        check(function() other:set_multi({ key = "new" }) end, "new")
    end)

    it("was set to the same value", function()
        check(function() other:set("key", "old") end, "old")
    end)

    it("was deleted, or deleted and set", function()
        check(function() other:delete("key") end, nil)
        check(function() other:delete_multi({ "key" }) end, nil)
        check(function() other:delete_by_pattern("k*") end, nil)
        check(function()
            other:delete("key")
            other:set("key", "new")
        end, "new")
    end)

    it("was cleared", function()
        check(function() other:clear() end, nil)
        check(function()
            other:clear()
            other:set("key", "new")
        end, "new")
    end)

    it("was dropped with all others, before its space is freed", function()
        cache = fresh({ memory = "256m" })
        for i = 1, 2000 do
            cache:set("key" .. i, "value")
            warm(cache, "key" .. i)
        end
        local cursor, result = ffi.new "double[1]", ffi.new "tandem_result"
        assert.are.equal(C.TANDEM_MORE, C.tandem_remove(cache.handle, cursor, nil, 0, result))
        local entries = cache:stats().entries
        assert.is_true(entries > 0)
        for i = 1, 2000 do
            assert.is_nil((cache:get("key" .. i)))
        end
        assert.are.equal(entries, cache:stats().entries)
    end)

    it("was evicted", function()
        check(function()
            pass_through(other, 1, 30000)
        end, nil)
    end)

    it("has expired, to the millisecond of the coarse clock", function()
        cache = fresh()
        cache:set("key", "value", 1)
        warm(cache, "key")
        C.tandem_clock_shift(900)
        assert.are.equal(1, (hits_of(cache, function() cache:get("key") end)))
        C.tandem_clock_shift(200)
        local near_hits = hits_of(cache, function() assert.is_nil((cache:get("key"))) end)
        C.tandem_clock_shift(-1100)
        assert.are.equal(0, near_hits)
    end)

    it("belongs to a cache that was closed", function()
        cache = fresh()
        cache:set("key", "value")
        warm(cache, "key")
        cache:close()
        assert.is_false((pcall(cache.get, cache, "key")))
        local again = assert(tandem.new(cache.name, { memory = "2m" }))
        assert.is_nil((again:get("key")))
    end)
end)

describe("objects on one cache", function()
    it("share a near table, if they have the same limits", function()
        local one = fresh()
        local two = assert(tandem.new(one.name, { memory = "2m" }))
        local three = assert(tandem.new(one.name, { memory = "2m", near = { entries = 5 } }))
        one:set("key", "value")
        warm(one, "key")
        one:close()
        assert.are.equal(1, (hits_of(two, function() two:get("key") end)))
        assert.are.equal(0, (hits_of(three, function() three:get("key") end)))
        assert.are.equal(5, three.near.max_entries)
    end)
end)

describe("with a codec", function()
    it("the value is kept as Lua has it, the same table each time", function()
        local cache = fresh({ codec = "json" })
        cache:set("key", { 1, 2 })
        warm(cache, "key")
        local value = cache:get("key")
        assert.are.same({ 1, 2 }, value)
        assert.are.equal(value, (cache:get("key")))
        cache:set("key", { 3 })
        assert.are.same({ 3 }, (cache:get("key")))
    end)

    it("false is a value", function()
        local cache = fresh({ codec = "json" })
        cache:set("key", false)
        warm(cache, "key")
        local near_hits = hits_of(cache, function()
            local value, err, tier = cache:get("key")
            assert.are.same({ false, nil, "memory" }, { value, err, tier })
        end)
        assert.are.equal(1, near_hits)
    end)

    it("what cannot be decoded is an error each time, and is not kept", function()
        local codec = { name = "picky", encode = tostring,
                        decode = function() return nil, "no" end }
        local cache = fresh({ codec = codec })
        cache:set("key", "value")
        for _ = 1, 5 do
            local value, err = cache:get("key")
            assert.is_nil(value)
            assert.is_truthy(err:find("no", 1, true))
        end
        assert.are.equal(0, cache.near.size)
    end)

    it("one that closes the cache while it decodes does no harm", function()
        local cache
        cache = fresh({ codec = { name = "closing", encode = tostring, decode = function(bytes)
            if cache.handle and cache.ready then
                cache:close()
            end
            return bytes
        end } })
        cache:set("key", "value")
        cache:get("key")
        cache.ready = true
        assert.are.equal("value", (cache:get("key")))
        assert.is_false((pcall(cache.get, cache, "key")))
    end)
end)
