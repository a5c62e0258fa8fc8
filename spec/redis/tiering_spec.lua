-- One object, two tiers: what is where after what.

local caches = require "spec.support.caches"
local redis = require "spec.support.redis"
local run = require "spec.support.run"
local show = require "spec.support.show"

describe("a cache with a Redis", function()
    local server

    setup(function() server = redis.start() end)
    teardown(run.cleanup)
    before_each(function() server:call("FLUSHALL") end)

    local function open(options)
        return caches.on(server, options)
    end

    it("stores a value in both tiers, plain and under its prefix in Redis", function()
        local cache = open()
        assert.are.equal("true", show(cache:set("key", "value")))
        assert.are.equal("'value' nil 'memory'", show(cache:get("key")))
        assert.are.same({ cache.name .. ":key" }, server:keys())
        assert.are.equal("value", server:call("GET", cache.name .. ":key"))
    end)

    it("takes the prefix that it is given, an empty one too", function()
        local cache = open({ prefix = "p*[\0\n" })
        cache:set("key", "value")
        assert.are.same({ "p*[\0\nkey" }, server:keys())
        server:call("FLUSHALL")
        cache = open({ prefix = "" })
        cache:set("key", "value")
        assert.are.same({ "key" }, server:keys())
    end)

    it("takes any bytes as key and as value", function()
        local bytes = {}
        for i = 0, 255 do
            bytes[#bytes + 1] = string.char(i)
        end
        bytes = table.concat(bytes)
        local cache = open()
        for _, key in ipairs({ bytes, "\0", "\r\n", "*", "$5\r\nGET", " " }) do
            assert.is_true(cache:set(key, key .. bytes))
            assert.are.equal(key .. bytes, server:call("GET", cache.name .. ":" .. key))
            server:call("SET", cache.name .. ":" .. key .. "f", key .. bytes)
            assert.are.equal(show(key .. bytes, nil, "redis"), show(cache:get(key .. "f")))
            assert.are.equal(show(key .. bytes, nil, "memory"), show(cache:get(key .. "f")))
        end
    end)

    it("takes an empty value for a value", function()
        local cache = open()
        cache:set("mine", "")
        server:call("SET", cache.name .. ":theirs", "")
        assert.are.equal("'' nil 'memory'", show(cache:get("mine")))
        assert.are.equal("'' nil 'redis'", show(cache:get("theirs")))
        assert.are.equal("'' nil 'memory'", show(cache:get("theirs")))
        assert.are.equal("true", show(cache:exists("theirs")))
    end)

    it("finds in Redis what memory lacks, and then in memory", function()
        local cache = open()
        server:call("SET", cache.name .. ":key", "value")
        assert.are.equal("'value' nil 'redis'", show(cache:get("key")))
        assert.are.equal("'value' nil 'memory'", show(cache:get("key")))
    end)

    it("answers three nils for what neither has, again and again", function()
        local cache = open()
        assert.are.equal("nil nil nil", show(cache:get("absent")))
        server:call("SET", cache.name .. ":absent", "there now")
        assert.are.equal("'there now' nil 'redis'", show(cache:get("absent")))
    end)

    it("deletes from both tiers and says whether either had it", function()
        local cache = open()
        assert.are.equal("false", show(cache:delete("key")))
        cache:set("key", "value")
        assert.are.equal("true", show(cache:delete("key")))
        assert.are.same({}, server:keys())
        assert.are.equal("nil nil nil", show(cache:get("key")))
        assert.are.equal("false", show(cache:delete("key")))

        server:call("SET", cache.name .. ":key", "in Redis only")
        assert.are.equal("true", show(cache:delete("key")))
        assert.are.same({}, server:keys())

        cache:set("key", "value")
        server:call("DEL", cache.name .. ":key")
        assert.are.equal("true", show(cache:delete("key")))
        assert.are.equal("nil nil nil", show(cache:get("key")))
    end)

    it("says whether there is a key, asking Redis if need be", function()
        local cache = open()
        assert.are.equal("false", show(cache:exists("key")))
        server:call("SET", cache.name .. ":key", "value")
        assert.are.equal("true", show(cache:exists("key")))
        server:call("HSET", cache.name .. ":hash", "f", "v")
        assert.are.equal("true", show(cache:exists("hash")))
        cache:set("mine", "value")
        assert.are.equal("true", show(cache:exists("mine")))
    end)

    it("gives keys their TTL in Redis, to the millisecond", function()
        local cache = open({ ttl = 50 })
        cache:set("default", "v")
        cache:set("given", "v", 12.345)
        cache:set("never", "v", 0)
        cache:set("shortest", "v", 0.0001)
        local function pttl(key)
            return server:call("PTTL", cache.name .. ":" .. key)
        end
        assert.is_true(pttl("default") > 45000 and pttl("default") <= 50000)
        assert.is_true(pttl("given") > 10000 and pttl("given") <= 12345)
        assert.are.equal(-1, pttl("never"))
        assert.is_true(pttl("shortest") == -2 or pttl("shortest") <= 1)
    end)

    it("tells the seconds left, which are Redis's own", function()
        local cache = open({ memory_ttl = 10 })
        assert.are.equal("nil", show(cache:ttl("absent")))
        cache:set("key", "value", 20)
        cache:get("key")
        local left = cache:ttl("key")
        assert.is_true(left > 15 and left <= 20, tostring(left))
        cache:set("never", "value", 0)
        assert.are.equal(0, (cache:ttl("never")))
        server:call("SET", cache.name .. ":theirs", "value", "PX", "5000")
        left = cache:ttl("theirs")
        assert.is_true(left > 4 and left <= 5, tostring(left))
        cache:get("theirs")
        left = cache:ttl("theirs")
        -- Memory's clock is a coarse one.
        assert.is_true(left > 4 and left <= 5.01, tostring(left))
    end)

    it("serves a promoted value no longer than Redis would have", function()
        local cache = open({ tracking = false })
        server:call("SET", cache.name .. ":key", "value", "PX", "300")
        local began = run.now()
        assert.are.equal("'value' nil 'redis'", show(cache:get("key")))
        local served_for
        run.wait_until("the value has gone", function()
            local asked = run.now()
            local value, err, tier = cache:get("key")
            assert.is_nil(err)
            if value then
                served_for = asked - began
                assert.are.equal("memory", tier)
            end
            return not value
        end)
        assert.is_true(served_for < 0.3 + 0.01, "served for " .. served_for)
    end)

    it("serves nothing from memory longer than memory_ttl", function()
        local cache = open({ memory_ttl = 0.3, tracking = false })
        cache:set("mine", "old")
        server:call("SET", cache.name .. ":theirs", "old")
        cache:get("theirs")
        local began = run.now()
        server:call("MSET", cache.name .. ":theirs", "new", cache.name .. ":mine", "new")
        assert.are.equal("'old' nil 'memory'", show(cache:get("theirs")))
        assert.are.equal("'old' nil 'memory'", show(cache:get("mine")))
        for _, key in ipairs({ "theirs", "mine" }) do
            run.wait_until("Redis is asked again for " .. key,
                           function() return cache:get(key) == "new" end)
        end
        assert.is_true(run.now() - began > 0.2)
        assert.are.equal("'new' nil 'memory'", show(cache:get("mine")))
    end)

    it("sees a foreign write within max_stale", function()
        local cache = open({ max_stale = 0.3 })
        cache:set("key", "old")
        local began = run.now()
        server:call("SET", cache.name .. ":key", "new")
        run.wait_until("the foreign write is seen",
                       function() return cache:get("key") == "new" end)
        assert.is_true(run.now() - began < 0.3 + 0.2)
        server:call("DEL", cache.name .. ":key")
        run.wait_until("the foreign delete is seen",
                       function() return cache:get("key") == nil end)
        assert.is_true(run.now() - began < 2 * (0.3 + 0.2))
    end)

    it("holds in Redis what is too large for memory", function()
        local cache = open({ memory = "1m", tracking = false })
        local value = ("0123456789abcdef"):rep(65536 * 2) -- twice the segment
        assert.are.equal("true", show(cache:set("key", value)))
        assert.are.equal(value, server:call("GET", cache.name .. ":key"))
        for _ = 1, 2 do
            local got, err, tier = cache:get("key")
            assert.is_true(got == value)
            assert.are.equal("nil 'redis'", show(err, tier))
        end
        assert.is_true(cache:stats().memory.too_large >= 1)
        -- Nor does what memory had of the key before stay behind.
        cache:set("key", "small")
        assert.are.equal("'small' nil 'memory'", show(cache:get("key")))
        cache:set("key", value)
        assert.is_true(cache:get("key") == value)
        assert.is_true(cache:delete("key"))
    end)

    it("is right about more than memory holds", function()
        local cache = open({ memory = "1m" })
        local value = ("x"):rep(1000)
        for i = 1, 3000 do
            assert(cache:set("key" .. i, i .. value))
        end
        local from = { memory = 0, redis = 0 }
        for i = 1, 3000 do
            local got, err, tier = cache:get("key" .. i)
            assert(got == i .. value, err)
            from[tier] = from[tier] + 1
        end
        assert.is_true(from.redis > 1000)
        assert.is_true(cache:stats().eviction_count > 1000)
    end)

    it("keeps JSON readable for others, and reads theirs", function()
        local cache = open({ codec = "json" })
        cache:set("mine", { list = { 1, 2 } })
        assert.are.equal('{"list":[1,2]}', server:call("GET", cache.name .. ":mine"))
        server:call("SET", cache.name .. ":theirs", '{"a":"b"}')
        assert.are.equal("{a='b'} nil 'redis'", show(cache:get("theirs")))
        server:call("SET", cache.name .. ":broken", '{"a":')
        local value, err = cache:get("broken")
        assert.is_nil(value)
        assert.is_truthy(err:find('"broken"', 1, true), err)
        server:call("SET", cache.name .. ":null", "null")
        assert.are.equal("nil nil", show((cache:get("null")), (select(2, cache:get("null")))))
    end)

    it("counts a lookup as one hit or one miss, whichever tier answers", function()
        local cache = open()
        server:call("SET", cache.name .. ":key", "value")
        cache:get("key")
        cache:get("key")
        cache:get("absent")
        cache:set("mine", "value")
        cache:get("mine")
        local stats = cache:stats()
        assert.are.equal("3 1 3 1", show(stats.hits, stats.misses, stats.hit_count,
                                         stats.miss_count))
        assert.are.equal(0.75, stats.avg_hit_rate)
        assert.are.equal(2, stats.entries)
        assert.are.equal("2 1 1", show(stats.memory.hits, stats.redis.hits, stats.redis.misses))
        assert.are.equal("up", stats.redis.state)
        assert.are.equal(1, stats.redis.connects)
    end)

    it("with write behind returns at once, and reads its own writes", function()
        local cache = open({ write = "behind" })
        for i = 1, 200 do
            local ok, note = cache:set("key", "value " .. i)
            assert.is_true(ok)
            assert.is_truthy(note:find("^queued: "), note)
            assert.are.equal("value " .. i, (cache:get("key")))
        end
        run.wait_until("Redis has it", function()
            return server:call("GET", cache.name .. ":key") == "value 200"
        end)
        local ok, note = cache:delete("key")
        assert.is_true(ok)
        assert.is_truthy(note:find("^queued: "), note)
        assert.are.equal("nil nil nil", show(cache:get("key")))
        assert.are.same({}, server:keys())
    end)

    it("keeps caches with other prefixes apart", function()
        local one, two = open({ prefix = "same:" }), open({ prefix = "same:too:" })
        one:set("key", "one")
        two:set("key", "two")
        assert.are.equal("one", (one:get("key")))
        assert.are.equal("two", (two:get("key")))
        assert.are.equal("two", (one:get("too:key")))
    end)

    it("raises for the names that belong to the library", function()
        local cache = open()
        assert.has_error(function() cache:get("#tandem:x") end)
        assert.has_error(function() cache:set("#tandem:x", "") end)
        assert.has_error(function() cache:delete("#tandem:x") end)
    end)
end)
