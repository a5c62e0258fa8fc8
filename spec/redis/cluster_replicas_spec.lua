--- redis.replicas = "fallback": while a master is away, what memory has not is read from its
-- replica, and never taken for more than stale.

local caches = require "spec.support.caches"
local clusters = require "spec.support.clusters"
local run = require "spec.support.run"
local show = require "spec.support.show"

-- The others do not take a master for dead while a test looks at what is done without it.
local PATIENT_MS, QUICK_MS = 60000, 4000

describe("replicas of a Redis Cluster", function()
    local cluster, master, replica

    setup(function()
        cluster = clusters.start { replicas = 3 }
        master = cluster.nodes[2] -- others are asked of the first one
        replica = cluster:replica_of(master)
        cluster:await_ranges(function(range) return #range == 4 end) -- with a replica
        cluster:set_node_timeout(PATIENT_MS)
    end)
    teardown(function()
        cluster:stop()
        run.cleanup()
    end)
    after_each(function()
        master:thaw()
        cluster:await()
    end)

    local function open(options)
        options = options or {}
        options.redis = { url = cluster:url { first = 3 },
                          replicas = options.replicas or "fallback",
                          client_name = options.name or "replicas" }
        options.replicas, options.name = nil, nil
        options.timeout, options.connect_timeout = 0.25, 0.5
        return caches.on(nil, options)
    end

    -- The keys of a cache that are with the master, n of them.
    local function keys_of(cache, n)
        local keys, i = {}, 0
        while #keys < n do
            i = i + 1
            if cluster:master_of(cache.name .. ":key" .. i) == master then
                keys[#keys + 1] = "key" .. i
            end
        end
        return keys
    end

    -- Written by another program, and with the replica too.
    local function write(cache, key, value)
        master:call("SET", cache.name .. ":" .. key, value)
        cluster:await_replicas()
    end

    local function stop_master(cache)
        local key = keys_of(cache, 50)[50]
        master:freeze()
        run.wait_until("the master is known to be away", function()
            return cache:set(key, "value") and select(2, cache:set(key, "value"))
        end)
    end

    local function count_of_gets(node)
        return tonumber(node:call("INFO", "commandstats"):match("cmdstat_get:calls=(%d+)") or 0)
    end

    it("are read from while their master is away: stale, and not kept", function()
        local cache = open { max_stale = 1 }
        local key, absent = unpack(keys_of(cache, 2))
        write(cache, key, "value")
        stop_master(cache)
        for _ = 1, 3 do
            assert.are.equal("'value' nil 'stale'", show(cache:get(key)))
            assert.is_nil((cache:peek(key)))
        end
        assert.are.equal("value", cache:get_multi({ key })[key])
        assert.are.equal("'value' nil 'stale'", show(cache:fetch(key, function()
            error("there is a value")
        end)))
        -- That it has none says nothing.
        local value, err = cache:get(absent)
        assert.is_nil(value)
        assert.is_truthy(err:find("redis 127.0.0.1:" .. master.port, 1, true), err)
        assert.are.equal("'made' nil 'loader'", show(cache:fetch(absent, function()
            return "made"
        end)))
        -- And what it had was nothing to go by.
        master:thaw()
        cluster:await()
        run.wait_until("the master is asked again", function()
            return show(cache:get(key)) == "'value' nil 'redis'"
                or show(cache:get(key)) == "'value' nil 'memory'"
        end)
        master:call("SET", cache.name .. ":" .. key, "later")
        run.wait_until("a change is seen", function() return cache:get(key) == "later" end)
        cache:close()
    end)

    it("have less to say than memory, which may know of a write that they do not", function()
        local cache = open { max_stale = 1 }
        local key = keys_of(cache, 1)[1]
        write(cache, key, "before")
        stop_master(cache)
        assert.are.equal("'before' nil 'stale'", show(cache:get(key)))
        assert.is_true((cache:set(key, "ours")))
        local began = run.now()
        while run.now() - began < 1.5 do -- past every lease
            assert.are.equal("ours", (cache:get(key)))
        end
        cache:close()
    end)

    it("are left alone while their masters are there, or where nobody wants them", function()
        local cache = open { name = "content" }
        local keys = keys_of(cache, 20)
        local before = count_of_gets(replica)
        for _, key in ipairs(keys) do
            assert.are.equal("true", show(cache:set(key, "value")))
            cache:get(key)
        end
        assert.is_nil(replica:call("CLIENT", "LIST"):find("name=content", 1, true))
        local other = open { replicas = "never" }
        local key = keys_of(other, 1)[1]
        write(other, key, "value")
        stop_master(other)
        local value, err = other:get(key)
        assert.is_nil(value)
        assert.is_truthy(err)
        assert.are.equal(before, count_of_gets(replica))
        other:close()
        cache:close()
    end)

    it("that take over are masters as any", function()
        local cache = open { max_stale = 1 }
        local key = keys_of(cache, 1)[1]
        write(cache, key, "value")
        cluster:set_node_timeout(QUICK_MS)
        stop_master(cache)
        assert.are.equal("'value' nil 'stale'", show(cache:get(key)))
        run.wait_until("the replica is the master", function()
            return replica:call("ROLE")[1] == "master"
        end, 30)
        run.wait_until("it is asked as one", function()
            local tier = select(3, cache:get(key))
            return tier == "redis" or tier == "memory"
        end, 20)
        replica:call("SET", cache.name .. ":" .. key, "later")
        run.wait_until("a change is seen", function() return cache:get(key) == "later" end)
        cache:close()
    end)
end)
