-- Methods on many keys and on all keys, over both tiers.

local caches = require "spec.support.caches"
local redis = require "spec.support.redis"
local run = require "spec.support.run"
local show = require "spec.support.show"

describe("methods on many keys", function()
    local server

    setup(function() server = redis.start() end)
    teardown(run.cleanup)
    before_each(function() server:call("FLUSHALL") end)

    local function open(options)
        return caches.on(server, options)
    end

    it("get_multi takes from memory what is there and the rest from Redis", function()
        local cache = open()
        cache:set("a", "1")
        server:call("SET", cache.name .. ":b", "2")
        assert.are.equal("{a='1', b='2'}", show(cache:get_multi({ "a", "b", "absent", "a" })))
        assert.are.equal("'2' nil 'memory'", show(cache:get("b")))
        assert.are.equal("{}", show(cache:get_multi({})))
    end)

    it("exists_multi answers for every key", function()
        local cache = open()
        cache:set("a", "1")
        server:call("SET", cache.name .. ":b", "2")
        assert.are.equal("{a=true, absent=false, b=true}",
                         show(cache:exists_multi({ "a", "b", "absent" })))
    end)

    it("set_multi stores all of them, with their TTL", function()
        local cache = open()
        assert.are.equal("true nil", show(cache:set_multi({ a = "1", b = "2" }, 10)))
        assert.are.same({ cache.name .. ":a", cache.name .. ":b" }, server:keys())
        assert.is_true(server:call("PTTL", cache.name .. ":a") > 9000)
        cache:get("a") -- keys that are neighbours in memory, written at once, are not kept there
        assert.are.equal("'1' nil 'memory'", show(cache:get("a")))
    end)

    it("delete_multi counts what either tier had", function()
        local cache = open()
        cache:set("a", "1")
        server:call("SET", cache.name .. ":b", "2")
        assert.are.equal("2 nil", show(cache:delete_multi({ "a", "b", "absent", "a" })))
        assert.are.same({}, server:keys())
        assert.are.equal("{}", show(cache:get_multi({ "a", "b" })))
    end)

    it("thousands of keys at once are no trouble", function()
        local cache = open({ memory = "8m" })
        local values, keys = {}, {}
        for i = 1, 5000 do
            keys[i] = "key" .. i
            values[keys[i]] = "value" .. i
        end
        assert.are.equal("true nil", show(cache:set_multi(values)))
        assert.are.same(values, (cache:get_multi(keys)))
        assert.are.equal(5000, #server:keys())
        assert.are.equal("5000 nil", show(cache:delete_multi(keys)))
        assert.are.equal(0, #server:keys())
    end)
end)

describe("walks over all keys", function()
    local server

    setup(function() server = redis.start() end)
    teardown(run.cleanup)
    before_each(function() server:call("FLUSHALL") end)

    local function sorted(list, err)
        assert.is_nil(err)
        table.sort(list)
        return show(list)
    end

    it("keys lists each key of either tier once", function()
        local cache = caches.on(server)
        cache:set("both", "1")
        server:call("SET", cache.name .. ":theirs", "2")
        cache:set("ours", "3")
        server:call("DEL", cache.name .. ":ours")
        assert.are.equal("{'both', 'ours', 'theirs'}", sorted(cache:keys()))
        assert.are.equal("{'theirs'}", sorted(cache:keys("th*")))
        assert.are.equal(2, #cache:keys(nil, 2))
        assert.are.equal("{}", sorted(cache:keys("nothing*")))
    end)

    it("keys leaves out names that belong to the library; clear takes them", function()
        local cache = caches.on(server)
        server:call("SET", cache.name .. ":#tandem:lock", "x")
        server:call("SET", cache.name .. ":#other", "x")
        assert.are.equal("{'#other'}", sorted(cache:keys()))
        assert.is_true(cache:clear())
        assert.are.same({}, server:keys())
    end)

    it("keys finds all of many", function()
        local cache = caches.on(server, { memory = "1m" })
        local values = {}
        for i = 1, 4000 do
            values["key" .. i] = ("x"):rep(300) -- more than memory holds
        end
        assert.is_true(cache:set_multi(values))
        local keys = assert(cache:keys())
        assert.are.equal(4000, #keys)
        for _, key in ipairs(keys) do
            assert.is_string(values[key])
            values[key] = nil
        end
        assert.are.equal(1111, #cache:keys("key1*"))
    end)

    -- What must not be taken for a glob, and what lies beside it.
    local PREFIXES = { "p*:", "p?:", "[p]:", "p[a-z]:", "p\\*:", "\\", "p\0:\255", "{p}:",
                       "p^[^a]" }

    for _, prefix in ipairs(PREFIXES) do
        it("are limited to the prefix " .. show(prefix), function()
            local cache = caches.on(server, { prefix = prefix })
            local others = { "p:key", "pa:key", "pp:key", "p*", "key", "pz:", "p^xkey", "P*:key",
                             "p\0:", "{p:key", "x" .. prefix .. "key" }
            for _, other in ipairs(others) do
                server:call("SET", other, "other")
            end
            table.sort(others)
            cache:set("a", "1")
            server:call("SET", prefix .. "b", "2")
            assert.are.equal("{'a', 'b'}", sorted(cache:keys()))
            assert.are.equal("{'b'}", sorted(cache:keys("[b-z]")))
            assert.are.equal("1", show(cache:delete_by_pattern("b*")))
            assert.are.equal("true", show(cache:clear()))
            assert.are.equal("nil nil nil", show(cache:get("a")))
            assert.are.same(others, server:keys())
        end)
    end

    it("with an empty prefix are about the whole database, and no other one", function()
        local cache = caches.on(server, { prefix = "" })
        local other = server:connect()
        other:call("SELECT", 1)
        other:call("SET", "elsewhere", "x")
        server:call("SET", "here", "x")
        assert.are.equal("{'here'}", sorted(cache:keys()))
        assert.is_true(cache:clear())
        assert.are.equal(0, server:call("DBSIZE"))
        assert.are.equal(1, other:call("DBSIZE"))
        other:close()
    end)

    it("delete_by_pattern counts each key once, whichever tier had it", function()
        local cache = caches.on(server)
        cache:set_multi({ a1 = "", a2 = "", b1 = "" })
        server:call("SET", cache.name .. ":a3", "")
        cache:set("a4", "")
        server:call("DEL", cache.name .. ":a4")
        assert.are.equal("4", show(cache:delete_by_pattern("a*")))
        assert.are.equal("{'b1'}", sorted(cache:keys()))
        assert.are.same({ cache.name .. ":b1" }, server:keys())
        assert.are.equal("0", show(cache:delete_by_pattern("a*")))
    end)

    it("globs are Redis's own on the key without prefix", function()
        local cache = caches.on(server)
        local keys = { "a", "ab", "abc", "a*c", "a?c", "[x]", "^", "", "\0a" }
        for i = #keys, 1, -1 do
            if keys[i] == "" then
                table.remove(keys, i)
            else
                cache:set(keys[i], "")
            end
        end
        -- Memory's answer and Redis's must agree: what is in one only is found all the same.
        for _, glob in ipairs({ "*", "a*", "a?", "a??", "a\\*c", "[[]x]", "[^a]*", "[a-b]*",
                                "a[b*]c", "\\^", "?a", "" }) do
            local expected = server:call("KEYS", cache.name .. ":" .. glob)
            for i, key in ipairs(expected) do
                expected[i] = key:sub(#cache.name + 2)
            end
            table.sort(expected)
            assert.are.equal(show(expected), sorted(cache:keys(glob)), "glob " .. glob)
        end
        for _, key in ipairs(keys) do
            server:call("DEL", cache.name .. ":" .. key)
        end
        assert.are.equal("{'a*c', 'a?c', 'abc'}", sorted(cache:keys("a?c")))
        assert.are.equal("{'a*c'}", sorted(cache:keys("a\\*c")))
        assert.are.equal("{'\\x00a', '[x]', '^'}", sorted(cache:keys("[^a]*")))
    end)

    it("clear empties both tiers", function()
        local cache = caches.on(server)
        local values = {}
        for i = 1, 3000 do
            values["key" .. i] = "x"
        end
        cache:set_multi(values)
        server:call("SET", "other:key", "x")
        assert.are.equal("true", show(cache:clear()))
        assert.are.same({ "other:key" }, server:keys())
        assert.are.equal("{}", sorted(cache:keys()))
        assert.are.equal("nil nil nil", show(cache:get("key1")))
        assert.are.equal(0, cache:stats().entries)
    end)

    it("cleanup_expired is about memory", function()
        local cache = caches.on(server, { tracking = false })
        cache:set_multi({ a = "", b = "", c = "" }, 0.05)
        cache:set("stays", "")
        local removed = 0
        run.wait_until("they are removed", function()
            removed = removed + assert(cache:cleanup_expired()) + cache:stats().memory.expired
            return cache:stats().entries == 1
        end)
        assert.is_true(removed >= 3)
    end)
end)
