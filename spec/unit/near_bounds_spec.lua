-- How much the near table keeps, and what of that goes when there is more.

local nearby = require "spec.support.nearby"
local options = require "resty.tandem.options"

local fresh = nearby.fresh
local hits_of = nearby.hits_of
local pass_through = nearby.pass_through
local warm = nearby.warm
local without_near = nearby.without_near

local KB, MB = 1024, 1024 * 1024

describe("bounds", function()
    it("hold under a million keys, and memory stays flat", function()
        local cache = fresh({ near = { entries = 1000, bytes = "1m" } })
        local near = cache.near
        local most_bytes, after_some = 0, nil
        for i = 1, 1000000 do
            local key = "key" .. i
            cache:set(key, "value")
            cache:get(key)
            cache:get(key)
            if near.bytes > most_bytes then
                most_bytes = near.bytes
            end
            if i == 100000 then
                collectgarbage()
                after_some = collectgarbage("count")
            end
        end
        collectgarbage()
        assert.are.equal(1000, near.size)
        assert.is_true(most_bytes <= MB)
        -- LuaJIT's own table of strings, with those that were garbage, may have doubled.
        local growth = collectgarbage("count") - after_some
        assert.is_true(growth < 2000, growth .. " KB more")
    end)

    it("in bytes hold for values of all sizes", function()
        local cache = fresh({ memory = "64m", near = { entries = 10000, bytes = "1m" } })
        local near = cache.near
        math.randomseed(7)
        for i = 1, 20000 do
            local key = "key" .. math.random(2000)
            if i % 3 == 0 then
                cache:set(key, ("v"):rep(2 ^ math.random(0, 17)))
            end
            cache:get(key)
            assert.is_true(near.bytes <= MB)
        end
        assert.is_true(near.bytes > MB / 4)
        local bytes, entries = 0, 0
        for _, i in pairs(near.map) do
            bytes, entries = bytes + near.charged[i], entries + 1
        end
        assert.are.equal(bytes, near.bytes)
        assert.are.equal(near.size - near.spares, entries)
    end)

    it("leave out a value of more than a sixteenth of the bytes", function()
        local cache = fresh({ memory = "64m", near = { bytes = "64k" } })
        for length, near_hits in pairs({ [4 * KB] = 5, [4 * KB + 1] = 0 }) do
            cache:set("key", ("x"):rep(length))
            assert.are.equal(near_hits, (hits_of(cache, function()
                for _ = 1, 7 do
                    cache:get("key")
                end
            end)))
        end
    end)

    it("may be one entry", function()
        local cache = fresh({ near = { entries = 1 } })
        cache:set_multi({ a = "1", b = "2" })
        for _ = 1, 20 do
            assert.are.equal("1", (cache:get("a")))
            assert.are.equal("2", (cache:get("b")))
        end
        assert.are.equal(1, cache.near.size)
    end)

    it("have defaults", function()
        local checked = options.check("name", {})
        assert.are.same({ entries = 10000, bytes = 16 * MB }, checked.near)
    end)
end)

describe("keys that are in use", function()
    it("stay in the near table when ten times as many others pass through it", function()
        local cache = fresh({ memory = "16m", near = { entries = 1000, bytes = "16m" } })
        for i = 1, 100 do
            cache:set("hot" .. i, "value")
            warm(cache, "hot" .. i)
        end
        for i = 1, 10000 do
            cache:set("scan" .. i, "value")
            cache:get("scan" .. i)
            cache:get("scan" .. i)
            cache:get("hot" .. i % 100 + 1)
        end
        local near_hits = hits_of(cache, function()
            for i = 1, 100 do
                cache:get("hot" .. i)
            end
        end)
        assert.are.equal(100, near_hits)
    end)

    -- A hit that the segment does not see must count there, or the hottest keys would go first.
    it("stay in the segment when ten times what it holds passes through that", function()
        local cache = fresh({ memory = "1m" })
        local other = without_near(cache, { memory = "1m" })
        local function left(prefix)
            local n = 0
            for i = 1, 100 do
                n = n + (other:exists(prefix .. i) and 1 or 0)
            end
            return n
        end

        pass_through(other, 1, 10000)
        assert.is_true(cache:stats().entries < 3000)
        for i = 1, 100 do
            for _, key in ipairs({ "hot" .. i, "cold" .. i }) do
                cache:set(key, ("h"):rep(300))
                warm(cache, key)
            end
            for j = 1, i do
                cache:get("hot" .. j)
            end
        end
        pass_through(other, 10001, 40000, function(i)
            for j = 1, 100, 10 do
                cache:get("hot" .. (i + j) % 100 + 1)
            end
        end)
        assert.are.equal(0, left("cold"))
        assert.are.equal(100, left("hot"))
    end)
end)
