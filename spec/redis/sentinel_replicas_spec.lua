--- Replicas of a Redis that sentinels watch, where they are read from.

local caches = require "spec.support.caches"
local run = require "spec.support.run"
local sentinels = require "spec.support.sentinels"
local show = require "spec.support.show"

describe("replicas of a Redis that sentinels watch", function()
    local watched, replica

    before_each(function()
        watched = sentinels.start()
        replica = watched.replicas[1]
        run.wait_until("the sentinels know that the replica follows", function()
            return watched:each(function(sentinel)
                local list = table.concat(sentinel:call("SENTINEL", "REPLICAS", sentinels.NAME)[1],
                                          " ")
                return list:find("master-link-status ok", 1, true)
            end)
        end, 20)
    end)
    after_each(function() watched:stop() end)
    teardown(run.cleanup)

    local function open(options)
        options.redis = { url = watched:url({ db = 2 }), replicas = options.replicas,
                          client_name = "replicas" }
        options.replicas = nil
        options.memory, options.near = "64m", false
        options.max_stale = options.max_stale or 5
        options.timeout = options.timeout or 2
        return caches.on(nil, options)
    end

    local function write(cache, key, value)
        local client = watched.master:connect()
        client:call("SELECT", 2)
        client:call("SET", cache.name .. ":" .. key, value)
        client:call("WAIT", 1, 1000)
        client:close()
    end

    local function gets(server)
        return tonumber(server:call("INFO", "commandstats"):match("cmdstat_get:calls=(%d+)") or 0)
    end

    -- Reads keys that were written before, until one was the replica's.
    local function read_until_preferred(cache)
        local n = 0
        for i = 1, 100 do
            write(cache, "probe" .. i, "value")
        end
        run.wait_until("the replica is asked", function()
            n = n + 1
            run.nap(40)
            assert.are.equal("value", (cache:get("probe" .. n)))
            return cache:stats().redis.replica_reads > 0
        end, 10)
    end

    it("are read from where they are preferred, and what they say is kept and fresh", function()
        local cache = open { replicas = "prefer" }
        for i = 1, 100 do
            write(cache, "key" .. i, "value" .. i)
        end
        read_until_preferred(cache)
        local of_master, of_replica = gets(watched.master), gets(replica)
        for i = 1, 100 do
            assert.are.equal(("'value%d' nil 'redis'"):format(i), show(cache:get("key" .. i)))
            assert.are.equal("memory", (select(3, cache:get("key" .. i))))
        end
        assert.are.equal(100, gets(watched.master) - of_master + gets(replica) - of_replica)
        assert.is_true(gets(replica) - of_replica > 90)
        -- One's own write, and another program's.
        assert.is_true((cache:set("key1", "ours")))
        assert.are.equal("ours", (cache:get("key1")))
        write(cache, "key2", "theirs")
        run.wait_until("a change is seen", function() return cache:get("key2") == "theirs" end)
        assert.is_nil((cache:get("absent")))
        cache:close()
    end)

    it("take over, and are masters then; their masters are asked while there is none", function()
        local cache = open { replicas = "prefer" }
        write(cache, "key", "value")
        read_until_preferred(cache)
        watched:fail_over()
        run.wait_until("the new master is used", function()
            return cache:set("another", "value") and select(2, cache:set("another", "value")) == nil
        end)
        assert.are.equal("value", (cache:get("key")))
        write(cache, "key", "later")
        run.wait_until("a change is seen", function() return cache:get("key") == "later" end)
        assert.are.equal("value", (cache:get("another")))
        cache:close()
    end)

    it("that are not there are not asked", function()
        local cache = open { replicas = "prefer" }
        read_until_preferred(cache)
        for i = 1, 20 do
            write(cache, "key" .. i, "value")
        end
        replica.process:kill()
        local began = run.now()
        for i = 1, 20 do
            assert.are.equal("value", (cache:get("key" .. i)))
        end
        assert.is_true(run.now() - began < 1.5)
        cache:close()
    end)

    it("are read from while their master is away: stale, and not kept", function()
        for _, replicas in ipairs { "fallback", "prefer" } do
            local cache = open { replicas = replicas, max_stale = 1, timeout = 0.25 }
            write(cache, "key", "value")
            watched.master:freeze()
            run.wait_until("the master is known to be away", function()
                return select(2, cache:set("probe", "value"))
            end)
            assert.are.equal("'value' nil 'stale'", show(cache:get("key")))
            assert.are.equal("'value' nil 'stale'", show(cache:get("key")))
            assert.is_nil((cache:peek("key")))
            local value, err = cache:get("absent")
            assert.is_nil(value)
            assert.is_truthy(err)
            watched.master:thaw()
            run.wait_until("it is there again, or another is", function()
                local tier = select(3, cache:get("key"))
                return tier == "redis" or tier == "memory"
            end, 20)
            cache:close()
        end
    end)

    it("are left alone where an error is wanted rather than what is stale", function()
        local cache = open { replicas = "prefer", max_stale = 1, timeout = 0.25,
                             on_redis_error = "fail" }
        write(cache, "key", "value")
        watched.master:freeze()
        run.wait_until("the master is known to be away", function()
            return not cache:set("probe", "value")
        end)
        run.nap(1100) -- past the lease
        local before = gets(replica)
        local value, err = cache:get("key")
        assert.is_nil(value)
        assert.is_truthy(err)
        assert.are.equal(before, gets(replica))
        watched.master:thaw()
        cache:close()
    end)
end)
