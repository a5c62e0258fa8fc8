-- A cache in memory only: changes that depend on what is there, peek and scan.

local caches = require "spec.support.caches"
local run = require "spec.support.run"
local show = require "spec.support.show"

local C = require("resty.tandem.lib").C

-- Moves the clock of this process, which is in step with that of others again after each test.
local shifted = 0

local function later(seconds)
    C.tandem_clock_shift(seconds * 1000)
    shifted = shifted + seconds
end

local function shift_back()
    later(-shifted)
end

-- The message that a call raises, which must name this file: the error is the caller's.
local function raised(fn, ...)
    local arguments, n = { ... }, select("#", ...)
    local ok, err = pcall(function()
        fn(unpack(arguments, 1, n))
        return nil
    end)
    assert.is_false(ok)
    local file, message = err:match("^(.-):%d+: (.*)$")
    assert.is_truthy(file and file:find("atomic_spec.lua", 1, true), err)
    return message
end

describe("add and replace", function()
    teardown(run.cleanup)
    after_each(shift_back)

    it("store on their condition, and say when it does not hold", function()
        local cache = caches.open()
        assert.are.equal("false 'not found'", show(cache:replace("key", "one")))
        assert.are.equal("true", show(cache:add("key", "two")))
        assert.are.equal("false 'exists'", show(cache:add("key", "three")))
        assert.are.equal("two", (cache:get("key")))
        assert.are.equal("true", show(cache:replace("key", "four")))
        assert.are.equal("four", (cache:get("key")))
    end)

    it("take the option ttl, or one of their own", function()
        local cache = caches.open({ ttl = 100 })
        cache:add("key", "value")
        assert.is_true(cache:ttl("key") > 90)
        cache:replace("key", "value", 50)
        assert.is_true(cache:ttl("key") < 60)
        cache:replace("key", "value", 0)
        assert.are.equal(0, cache:ttl("key"))
        cache:delete("key")
        cache:add("key", "value", 5)
        later(6)
        assert.is_true(cache:add("key", "value"))
    end)

    it("encode as set does, and check their arguments as it does", function()
        local cache = caches.open({ codec = "json" })
        assert.is_true(cache:add("key", { 1, 2 }))
        assert.are.same({ 1, 2 }, (cache:get("key")))
        local strings = caches.open()
        for _, method in ipairs({ "add", "replace" }) do
            local fn = strings[method]
            assert.are.equal("value must be a string, got number: use codec = \"json\" or"
                             .. " \"buffer\"", raised(fn, strings, "key", 5))
            assert.are.equal("value must not be nil: use delete", raised(fn, strings, "key"))
            assert.are.equal("key must not be empty", raised(fn, strings, "", "x"))
            assert.is_truthy(raised(fn, strings, "key", "x", -1):find("^ttl must be "))
            assert.is_truthy(raised(fn, strings, "#tandem:x", "x"):find("reserved", 1, true))
            assert.is_truthy(raised(fn, "key", "x"):find("colon", 1, true))
        end
    end)

    it("refuse a value too large for memory", function()
        local cache = caches.open()
        local large = ("x"):rep(C.tandem_value_limit(cache.handle) + 1)
        local ok, err = cache:add("key", large)
        assert.is_nil(ok)
        assert.is_truthy(err:find("^value too large: "))
        cache:set("key", "x")
        assert.are.equal("false 'exists'", show(cache:add("key", large)))
    end)

    it("are seen by near tables", function()
        local cache = caches.open()
        cache:set("key", "one")
        for _ = 1, 5 do
            cache:get("key")
        end
        assert.is_true(cache:stats().memory.near_hits > 0)
        cache:replace("key", "two")
        assert.are.equal("two", (cache:get("key")))
    end)
end)

describe("incr", function()
    teardown(run.cleanup)
    after_each(shift_back)

    it("needs a key, or an init", function()
        local cache = caches.open()
        assert.are.equal("nil 'not found'", show(cache:incr("n")))
        assert.are.equal("11", show(cache:incr("n", 1, 10)))
        assert.are.equal("12", show(cache:incr("n", nil, 10)))
        assert.are.equal("9.5", show(cache:incr("n", -2.5)))
        assert.are.equal("9.5", show(cache:incr("n", 0)))
    end)

    it("keeps the TTL, and gives a new key init_ttl or the option ttl", function()
        local cache = caches.open({ ttl = 100 })
        assert.are.equal(1, cache:incr("n", 1, 0, 10))
        later(6)
        assert.are.equal(2, cache:incr("n", 1, 0, 10))
        assert.is_true(cache:ttl("n") < 5)
        later(5)
        assert.are.equal(1, cache:incr("n", 1, 0))
        assert.is_true(cache:ttl("n") > 90)
        cache:incr("ever", 1, 0, 0)
        assert.are.equal(0, cache:ttl("ever"))
    end)

    it("holds decimal text, whatever the codec", function()
        for _, codec in ipairs({ "string", "json" }) do
            local cache = caches.open({ codec = codec })
            cache:incr("n", 1.5, 1)
            assert.are.equal(codec == "json" and 2.5 or "2.5", (cache:get("n")))
            cache:set("n", codec == "json" and 41 or "41")
            assert.are.equal(42, cache:incr("n"))
        end
        local cache = caches.open({ codec = "buffer" })
        assert.are.equal(3, cache:incr("n", 1, 2))
        assert.are.equal(4, cache:incr("n"))
        cache:set("m", 4)
        assert.are.equal("nil 'not a number'", show(cache:incr("m")))
    end)

    it("is exact for whole numbers up to 2^53", function()
        local cache = caches.open()
        cache:set("n", "9007199254740990")
        assert.are.equal(2^53 - 1, cache:incr("n"))
        assert.are.equal(2^53, cache:incr("n"))
        assert.are.equal("9007199254740992", (cache:get("n")))
        assert.are.equal(0, cache:incr("n", -2^53))
        cache:set("n", "9223372036854775807")
        assert.are.equal("nil 'the sum would be out of range'", show(cache:incr("n")))
        assert.are.equal("9223372036854775807", (cache:get("n")))
    end)

    it("leaves what is no number alone", function()
        local cache = caches.open()
        for _, value in ipairs({ "", "x", "1x", " 1", "1 ", "0x10", "nan", "inf", "1\0", "--1" }) do
            cache:set("n", value)
            assert.are.equal("nil 'not a number'", show(cache:incr("n", 1, 5)), value)
            assert.are.equal(value, (cache:get("n")))
        end
    end)

    it("adds up fractions as one would write them", function()
        local cache = caches.open()
        cache:incr("n", 0.1, 0)
        cache:incr("n", 0.2)
        assert.are.equal("0.3", (cache:get("n")))
        cache:incr("n", -0.3)
        assert.are.equal("0", (cache:get("n")))
    end)

    it("names what is wrong with its arguments", function()
        local cache = caches.open()
        local number = " must be a number from -2^53 to 2^53, got "
        assert.are.equal("by" .. number .. '"1"', raised(cache.incr, cache, "n", "1"))
        assert.are.equal("by" .. number .. "nan",
                         (raised(cache.incr, cache, "n", 0 / 0):gsub("%-nan", "nan")))
        assert.are.equal("by" .. number .. "inf", raised(cache.incr, cache, "n", 1 / 0))
        assert.are.equal("init" .. number .. "true", raised(cache.incr, cache, "n", 1, true))
        assert.are.equal("init_ttl is of no use without init",
                         raised(cache.incr, cache, "n", 1, nil, 5))
        assert.is_truthy(raised(cache.incr, cache, "n", 1, 0, -1):find("^init_ttl must be "))
        assert.are.equal("key must be a string, got nil", raised(cache.incr, cache))
    end)
end)

describe("expire and touch", function()
    teardown(run.cleanup)
    after_each(shift_back)

    it("change the TTL of what is there", function()
        local cache = caches.open({ ttl = 100 })
        assert.is_false(cache:expire("key", 5))
        assert.is_false(cache:touch("key"))
        cache:set("key", "value", 5)
        assert.is_true(cache:touch("key"))
        assert.is_true(cache:ttl("key") > 90)
        assert.is_true(cache:expire("key", 50.5))
        assert.is_true(cache:ttl("key") <= 50.51)
        assert.is_true(cache:expire("key", 0))
        assert.are.equal(0, cache:ttl("key"))
        assert.is_true(cache:expire("key", 5))
        later(6)
        assert.is_false(cache:touch("key"))
        assert.are.equal("nil nil nil", show(cache:get("key")))
    end)

    it("with no option ttl touch makes a key stay for ever", function()
        local cache = caches.open()
        cache:set("key", "value", 5)
        assert.is_true(cache:touch("key"))
        assert.are.equal(0, cache:ttl("key"))
    end)

    it("are seen by near tables", function()
        local cache = caches.open()
        cache:set("key", "value")
        for _ = 1, 5 do
            cache:get("key")
        end
        assert.is_true(cache:stats().memory.near_hits > 0)
        cache:expire("key", 5)
        assert.are.equal("value", (cache:get("key")))
        later(6)
        assert.is_nil((cache:get("key")))
    end)

    it("name what is wrong with their arguments", function()
        local cache = caches.open()
        assert.is_truthy(raised(cache.expire, cache, "key"):find("^ttl must be "))
        assert.is_truthy(raised(cache.expire, cache, "key", "5"):find("^ttl must be "))
        assert.are.equal("key must not be empty", raised(cache.touch, cache, ""))
        cache:close()
        for _, method in ipairs({ "add", "replace", "incr", "expire", "touch", "peek", "scan" }) do
            assert.is_truthy(raised(cache[method], cache, "key", "x"):find("closed", 1, true))
        end
    end)
end)

describe("peek", function()
    teardown(run.cleanup)
    after_each(shift_back)

    it("tells what is there, and what was", function()
        local cache = caches.open()
        assert.are.equal("nil", show(cache:peek("key")))
        cache:set("key", "value")
        assert.are.equal("0 nil 'value' 'memory'", show(cache:peek("key")))
        cache:set("key", "value", 10)
        local ttl = cache:peek("key")
        assert.is_true(ttl > 5 and ttl <= 10.01)
        later(11)
        assert.are.equal("nil", show(cache:peek("key")))
        assert.are.equal("nil", show(cache:peek("key", { stale = false })))
        local past, err, value, tier = cache:peek("key", { stale = true })
        assert.is_true(past < 0 and past > -100)
        assert.are.equal("nil 'value' 'stale'", show(err, value, tier))
    end)

    it("counts nothing, and brings nothing into the near table", function()
        local cache = caches.open()
        cache:set("key", "value")
        for _ = 1, 10 do
            cache:peek("key")
        end
        local stats = cache:stats()
        assert.are.equal(0, stats.hits + stats.misses)
        assert.are.equal(0, stats.memory.near_hits)
        assert.are.equal("'value' nil 'memory'", show(cache:get("key")))
        assert.are.equal(0, cache:stats().memory.near_hits)
    end)

    it("decodes, and takes large values", function()
        local cache = caches.open({ codec = "json", memory = "64m" })
        local large = ("x"):rep(100000)
        cache:set("key", { large })
        local _, _, value = cache:peek("key")
        assert.are.same({ large }, value)
    end)

    it("names what is wrong with its arguments", function()
        local cache = caches.open()
        assert.are.equal("opts must be a table, got true", raised(cache.peek, cache, "key", true))
        assert.are.equal("unknown option opts.stael",
                         raised(cache.peek, cache, "key", { stael = true }))
        assert.are.equal("opts.stale must be true or false, got 1",
                         raised(cache.peek, cache, "key", { stale = 1 }))
        assert.are.equal("key must not be empty", raised(cache.peek, cache, ""))
    end)
end)

describe("scan", function()
    teardown(run.cleanup)
    after_each(shift_back)

    local function scanned(cache, pattern)
        local counts = {}
        for key, err in cache:scan(pattern) do
            assert.is_nil(err)
            counts[key] = (counts[key] or 0) + 1
        end
        return counts
    end

    it("gives each key once, in however many pages", function()
        local cache, expected = caches.open({ memory = "16m" }), {}
        assert.are.same({}, scanned(cache))
        for i = 1, 20000 do
            local key = "key" .. i
            cache:set(key, "x")
            expected[key] = 1
        end
        assert.are.same(expected, scanned(cache))
        assert.are.equal(1, scanned(cache, "key1234").key1234)
        assert.are.same({}, scanned(cache, "none*"))
    end)

    it("may be left early, used twice at once, and go on while keys change", function()
        local cache = caches.open()
        for i = 1, 3000 do
            cache:set("key" .. i, "x")
        end
        for key in cache:scan() do
            if key ~= "none of them" then
                break
            end
        end
        local one, two, n = cache:scan(), cache:scan(), 0
        for key in one do
            assert.is_string(two())
            cache:delete(key)
            n = n + 1
        end
        assert.are.equal(3000, n)
        assert.is_nil(one())
        assert.are.same({}, scanned(cache))
    end)

    it("names what is wrong with its argument, and a cache that was closed meanwhile", function()
        local cache = caches.open()
        assert.are.equal("pattern must be a string, got 5", raised(cache.scan, cache, 5))
        cache:set("key", "x")
        local iterate = cache:scan()
        cache:close()
        assert.is_truthy(raised(iterate):find("closed", 1, true))
    end)
end)

describe("the set of keys that scan has given", function()
    local seen = require "resty.tandem.seen"

    it("knows each of many", function()
        local set = seen.new()
        for i = 1, 100000 do
            assert(seen.first(set, "key" .. i))
        end
        for i = 1, 100000 do
            assert(not seen.first(set, "key" .. i))
        end
        assert.is_true(seen.first(set, ""))
        assert.is_false(seen.first(set, ""))
    end)

    it("lets through what it has no room for", function()
        local set = seen.new(100000)
        for i = 1, 100000 do
            seen.first(set, "key" .. i)
        end
        assert.are.equal(100000, set.count)
        assert.is_true(seen.first(set, "another"))
        assert.is_true(seen.first(set, "another"))
        assert.is_false(seen.first(set, "key1"))
        assert.is_false(seen.first(set, "key100000"))
    end)
end)
