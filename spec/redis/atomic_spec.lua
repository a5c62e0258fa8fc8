-- Changes that depend on what is there, decided by Redis; peek and scan over both tiers.

local caches = require "spec.support.caches"
local redis = require "spec.support.redis"
local run = require "spec.support.run"
local show = require "spec.support.show"

describe("changes that depend on what is there", function()
    local server

    setup(function() server = redis.start() end)
    teardown(run.cleanup)
    before_each(function() server:call("FLUSHALL") end)

    it("are one command each, or a script", function()
        local cache = caches.on(server, { prefix = "p:", ttl = 60 })
        cache:get("warm-up")
        local monitor = server:monitor()
        local function told(method, ...)
            local answer = show(cache[method](cache, "key", ...))
            local lines = {}
            for _, line in ipairs(monitor:lines()) do
                lines[#lines + 1] = line:gsub("^EVAL .*return n 1 ", "EVAL ... ")
            end
            return answer .. " | " .. table.concat(lines, ", ")
        end

        assert.are.equal("false 'not found' | SET p:key v PX 60000 XX", told("replace", "v"))
        assert.are.equal("true | SET p:key v NX", told("add", "v", 0))
        assert.are.equal("false 'exists' | SET p:key v PX 1500 NX", told("add", "v", 1.5))
        assert.are.equal("true | PEXPIRE p:key 60000", told("touch"))
        assert.are.equal("true | PEXPIRE p:key 1500", told("expire", 1.5))
        assert.are.equal("true | PERSIST p:key, EXISTS p:key", told("expire", 0))
        server:call("DEL", "p:key")
        monitor:lines()
        assert.is_truthy(told("incr", 2, 5, 100):find("^7 | EVAL ... p:key INCRBY 2 5 100000"))
        assert.is_truthy(told("incr", 0.5):find("^7.5 | EVAL ... p:key INCRBYFLOAT 0.5"))
        assert.are.equal("7.5", server:call("GET", "p:key"))
        assert.is_true(server:call("PTTL", "p:key") > 90000)
    end)

    it("have the codec's values, and numbers in decimal", function()
        local cache = caches.on(server, { codec = "json", prefix = "p:" })
        assert.is_true(cache:add("key", { a = 1 }))
        assert.are.equal('{"a":1}', server:call("GET", "p:key"))
        assert.are.equal("nil 'not a number'", show(cache:incr("key")))
        assert.are.equal(3, cache:incr("n", 1, 2))
        assert.are.equal(3, (cache:get("n")))
        server:call("SET", "p:n", "9007199254740991")
        assert.are.equal(2^53, cache:incr("n"))
    end)

    it("add has one winner among hosts, and incr loses nothing", function()
        local one = caches.on(server, { prefix = "p:", memory = "1m" })
        local two = caches.on(server, { prefix = "p:", memory = "2m" })
        assert.is_true(one:add("key", "one"))
        assert.are.equal("false 'exists'", show(two:add("key", "two")))
        assert.are.equal("one", (two:get("key")))
        for i = 1, 100 do
            assert.are.equal(2 * i - 1, one:incr("n", 1, 0))
            assert.are.equal(2 * i, two:incr("n", 1, 0))
        end
    end)

    it("are seen by this host at once and by others a moment later", function()
        local one = caches.on(server, { prefix = "p:", memory = "1m", max_stale = 5 })
        local two = caches.on(server, { prefix = "p:", memory = "2m", max_stale = 5 })
        for i = 1, 100 do
            local key, value = "key" .. i % 3, tostring(i)
            one:set(key, value)
            two:get(key)
            assert.are.equal(i + 1, one:incr(key))
            assert.are.equal(tostring(i + 1), (one:get(key)))
            run.wait_until("the other host sees the sum", function()
                return two:get(key) == tostring(i + 1)
            end)
            assert.is_true(two:replace(key, "x"))
            assert.are.equal("x", (two:get(key)))
            run.wait_until("the other host sees what replaced it", function()
                return one:get(key) == "x"
            end)
            assert.is_true(one:expire(key, 1000 + i))
            assert.is_true(one:ttl(key) > 900)
            run.wait_until("the other host sees the new TTL", function()
                return two:ttl(key) > 900
            end)
        end
    end)

    it("wait with write = \"behind\", all but expire and touch", function()
        local cache = caches.on(server, { prefix = "p:", write = "behind", ttl = 100 })
        assert.are.equal("true", show(cache:add("key", "1")))
        assert.are.equal("false 'exists'", show(cache:add("key", "1")))
        assert.are.equal(2, cache:incr("key"))
        assert.are.equal("true", show(cache:replace("key", "5")))
        assert.are.equal("true 'queued: write = \"behind\"'", show(cache:expire("key", 0)))
        assert.are.equal(0, cache:ttl("key"))
        assert.are.equal("true 'queued: write = \"behind\"'", show(cache:touch("no such key")))
        assert.is_nil(cache:ttl("no such key"))
        cache:set("key", "10")
        assert.are.equal(11, cache:incr("key")) -- after what was queued before
    end)

    it("say what Redis says when it refuses", function()
        local cache = caches.on(server, { prefix = "p:" })
        server:call("RPUSH", "p:list", "x")
        for _ = 1, 2 do
            local sum, err = cache:incr("list")
            assert.is_nil(sum)
            assert.is_truthy(err:find("WRONGTYPE", 1, true), err)
        end
        server:call("ACL", "SETUSER", "poor", "on", ">s3cret", "~*", "&*", "+@all", "-eval")
        local poor = caches.open({ prefix = "p:", redis = {
            url = server:url(), username = "poor", password = "s3cret" } })
        local sum, err = poor:incr("n", 1, 0)
        assert.is_nil(sum)
        assert.is_truthy(err:find("NOPERM", 1, true), err)
        assert.is_true(poor:add("n", "1"))
    end)

    it("do nothing while Redis is away, and go on when it is back", function()
        local own = redis.start()
        local cache = caches.on(own, { prefix = "p:", timeout = 5 })
        assert.is_true(cache:set("n", "5"))
        own:kill()
        for _, call in ipairs({
            function() return cache:add("other", "x") end,
            function() return cache:replace("n", "x") end,
            function() return cache:incr("n") end,
            function() return cache:incr("other", 1, 0) end,
            function() return cache:expire("n", 5) end,
            function() return cache:touch("n") end,
        }) do
            local answer, err = call()
            assert.is_nil(answer)
            assert.is_truthy(err:find("127.0.0.1:" .. own.port, 1, true), err)
        end
        assert.are.equal("'5' nil", show((cache:get("n")), nil))
        assert.are.equal(0, cache:stats().redis.degraded_writes)
        -- A write of now is Redis's first, when that is back; then what is built on it.
        local ok, note = cache:set("n", "10")
        assert.is_true(ok)
        assert.is_truthy(note:find("^queued: "), note)
        own:restart()
        assert.are.equal(11, run.wait_until("Redis has been told", function()
            return cache:incr("n", 1, 0)
        end))
    end)
end)

describe("peek", function()
    local server

    setup(function() server = redis.start() end)
    teardown(run.cleanup)
    before_each(function() server:call("FLUSHALL") end)

    it("asks nothing of Redis, and tells what is stale", function()
        local cache = caches.on(server, { prefix = "p:", memory_ttl = 3 })
        server:call("SET", "p:key", "value", "PX", 100000)
        assert.are.equal("nil", show(cache:peek("key")))
        cache:get("key")
        local monitor = server:monitor()
        local ttl, err, value, tier = cache:peek("key")
        assert.is_true(ttl > 0 and ttl <= 3.01) -- what memory keeps it for
        assert.are.equal("nil 'value' 'memory'", show(err, value, tier))
        run.wait_until("it is not fresh any more", function()
            return cache:peek("key") == nil
        end)
        ttl, err, value, tier = cache:peek("key", { stale = true })
        assert.is_true(ttl < 0.01)
        assert.are.equal("nil 'value' 'stale'", show(err, value, tier))
        assert.are.same({}, monitor:lines())
    end)
end)

describe("scan", function()
    local server

    setup(function() server = redis.start() end)
    teardown(run.cleanup)
    before_each(function() server:call("FLUSHALL") end)

    local function scanned(cache, pattern)
        local counts = {}
        for key, err in cache:scan(pattern) do
            assert.is_nil(err)
            counts[key] = (counts[key] or 0) + 1
        end
        return counts
    end

    it("gives the keys of either tier once, but for the library's own", function()
        local cache = caches.on(server, { prefix = "p:", tracking = false })
        cache:set("both", "1")
        server:call("SET", "p:theirs", "2")
        server:call("SET", "p:#tandem:lock", "x")
        server:call("SET", "q:other", "x")
        cache:set("ours", "3")
        server:call("DEL", "p:ours")
        assert.are.same({ both = 1, theirs = 1, ours = 1 }, scanned(cache))
        assert.are.same({ theirs = 1 }, scanned(cache, "th*"))
    end)

    it("gives all of many keys once, while their table in Redis grows and shrinks", function()
        local cache, expected, n = caches.on(server, { prefix = "p:" }), {}, 0
        local values = {}
        for i = 1, 5000 do
            values["key" .. i], expected["key" .. i] = "x", 1
        end
        cache:set_multi(values)
        local counts = {}
        for key, err in cache:scan("key*") do
            assert.is_nil(err)
            counts[key], n = (counts[key] or 0) + 1, n + 1
            if n % 500 == 0 then
                local keys = {}
                for i = 1, 20000 do
                    keys[i] = "other" .. i
                end
                if n % 1000 == 0 then
                    cache:delete_multi(keys)
                else
                    local others = {}
                    for _, other in ipairs(keys) do
                        others[other] = "x"
                    end
                    cache:set_multi(others)
                end
            end
        end
        assert.are.same(expected, counts)
    end)

    it("ends with false and an error when Redis cannot be asked", function()
        local own = redis.start()
        local cache = caches.on(own, { prefix = "p:" })
        cache:set("key", "x")
        own:kill()
        local answers = {}
        for key, err in cache:scan() do
            answers[#answers + 1] = show(key, type(err))
        end
        assert.are.same({ "false 'string'" }, answers)
        local iterate = cache:scan()
        assert.is_false((iterate()))
        assert.is_nil((iterate()))
    end)
end)
