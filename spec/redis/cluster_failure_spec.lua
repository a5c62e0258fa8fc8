--- A Redis Cluster in trouble: nodes that die, hang or are replaced; URLs that lead elsewhere.

local caches = require "spec.support.caches"
local clusters = require "spec.support.clusters"
local redis = require "spec.support.redis"
local run = require "spec.support.run"
local show = require "spec.support.show"

local function says(expected, err)
    assert.is_truthy(tostring(err):find(expected, 1, true), tostring(err))
end

describe("a Redis Cluster in trouble", function()
    local cluster

    setup(function() cluster = clusters.start { replicas = 3 } end)
    teardown(function()
        cluster:stop()
        run.cleanup()
    end)
    after_each(function() cluster:mend() end)

    -- With its links.
    local function open(options)
        options = options or {}
        options.redis = options.redis or { url = cluster:url(), client_name = "spec" }
        options.max_stale = options.max_stale or 2
        options.timeout = options.timeout or 0.25
        options.connect_timeout = 0.5
        return caches.on(nil, options)
    end

    local function await_link(cache)
        run.wait_until("the link covers", function()
            cache:get("anything")
            return cache:stats().tracking.state == "on"
        end, 20)
    end

    -- A key of this cache at that master, or at another one.
    local function key_at(cache, master, elsewhere)
        for i = 1, 1000 do
            local there = cluster:master_of(cache.name .. ":key" .. i) == master
            if there ~= (elsewhere or false) then
                return "key" .. i
            end
        end
    end

    it("goes on for all but the slots of a master that is killed, and for them with its replica",
       function()
        local cache = open()
        local name = cache.name
        local victim = cluster.nodes[1]
        victim = victim:call("ROLE")[1] == "master" and victim or cluster:masters()[1]
        local replica = cluster:replica_of(victim)
        local lost, kept = key_at(cache, victim), key_at(cache, victim, true)
        assert.is_true(cache:set(lost, "value"))
        assert.is_true(cache:set(kept, "value"))
        run.wait_until("the replica has it", function()
            return replica:call("DBSIZE") > 0
        end)
        victim:kill()
        run.wait_until("it is noticed", function()
            local _, err = cache:set(lost, "meanwhile")
            return err and err:find("queued: redis 127.0.0.1:" .. victim.port, 1, true)
        end)
        assert.are.equal("true", show(cache:set(kept, "ours")))
        assert.are.equal("ours", cluster:call("GET", name .. ":" .. kept))
        assert.are.equal("'meanwhile' nil 'memory'", show(cache:get(lost)))
        run.wait_until("the replica has taken over, and what was written meanwhile", function()
            return replica:call("ROLE")[1] == "master"
                and replica:call("GET", name .. ":" .. lost) == "meanwhile"
        end, 20)
        assert.are.equal("true", show(cache:set(lost, "ours")))
        await_link(cache)
        replica:call("SET", name .. ":" .. lost, "theirs")
        run.wait_until("the change is seen", function() return cache:get(lost) == "theirs" end)
        cache:close()
    end)

    it("may have a master replaced by its replica: nothing is fresh, and none is lost", function()
        local cache = open()
        local name = cache.name
        local master = cluster:masters()[1]
        local replica = cluster:replica_of(master)
        local key = key_at(cache, master)
        assert.is_true(cache:set(key, "value"))
        run.wait_until("it is in memory for good", function()
            return cache:stats().tracking.verifies > 0
        end)
        cluster:fail_over(replica)
        run.wait_until("what has taken over is asked", function()
            replica:call("SET", name .. ":" .. key, "theirs")
            return cache:get(key) == "theirs"
        end)
        await_link(cache)
        assert.are.equal("true", show(cache:set(key, "ours")))
        assert.are.equal("ours", replica:call("GET", name .. ":" .. key))
        replica:call("SET", name .. ":" .. key, "theirs again")
        run.wait_until("the change is seen", function() return cache:get(key) == "theirs again" end)
        cache:close()
    end)

    it("is not fresh where a master hangs, nor after it has been replaced meanwhile", function()
        local cache = open { max_stale = 1 }
        local name = cache.name
        local master = cluster:masters()[1]
        local replica = cluster:replica_of(master)
        local key, other = key_at(cache, master), key_at(cache, master, true)
        assert.is_true(cache:set(key, "value"))
        assert.is_true(cache:set(other, "value"))
        run.wait_until("they are in memory for good", function()
            return cache:stats().tracking.verifies > 1
        end)
        master:freeze()
        run.wait_until("it is known to hang", function()
            local _, err = cache:get("absent-" .. key)
            return select(3, cache:get(key)) == "stale" or err
        end)
        run.wait_until("the replica has taken over", function()
            return replica:call("ROLE")[1] == "master"
        end, 20)
        replica:call("SET", name .. ":" .. key, "theirs")
        run.wait_until("the change is seen", function() return cache:get(key) == "theirs" end, 20)
        -- It thinks that it is one, until it hears of the others.
        master:thaw()
        local began = run.now()
        while run.now() - began < 0.5 do
            local value, err = cache:get(key)
            assert.are.equal("theirs", value, err)
        end
        await_link(cache)
        cache:close()
    end)

    it("is found by any of its nodes, and lost with all of them", function()
        local cache = open { redis = cluster:url({ first = 2 }) }
        assert.is_true(cache:set("key", "value"))
        local masters = cluster:masters()
        for _, node in ipairs(cluster.nodes) do
            node:freeze()
        end
        run.wait_until("all are known to be away", function()
            local value, err, tier = cache:get("key")
            return err or (value == "value" and tier == "stale")
        end)
        run.wait_until("so it is said", function()
            for i = 1, 30 do
                cache:get("absent" .. i)
            end
            return cache:stats().redis.state == "down"
        end, 20)
        for _, node in ipairs(cluster.nodes) do
            node:thaw()
        end
        run.wait_until("they are back", function()
            return (select(2, cache:set("key", "again"))) == nil
        end, 20)
        assert.are.equal(3, #masters)
        cache:close()
    end)

    it("is not every server that a URL may lead to", function()
        local alone = redis.start()
        local gone = redis.free_port()
        for url, expected in pairs({
            ["redis+cluster://127.0.0.1:" .. gone] = "refused",
            ["redis+cluster://127.0.0.1:" .. alone.port] = "cluster support disabled",
            [("redis+cluster://127.0.0.1:%d,127.0.0.1:%d"):format(gone, alone.port)] = "127.0.0.1:",
        }) do
            local cache = caches.open { redis = url, timeout = 2 }
            local _, err = cache:get("key")
            says("redis+cluster 127.0.0.1:", err)
            says(expected, err)
            assert.are.equal("down", cache:stats().redis.state)
            cache:close()
        end
        -- Nodes that are away, or none, do not hide one that is.
        local cache = open { redis = ("redis+cluster://127.0.0.1:%d,127.0.0.1:%d,127.0.0.1:%d")
                                 :format(gone, alone.port, cluster.nodes[1].port) }
        assert.are.equal("true", show(cache:set("key", "value")))
        cache:close()
        alone:stop()
    end)

    it("that has no node for a slot says so, and serves the others", function()
        local small = clusters.start { masters = 1,
                                       arguments = { "--cluster-require-full-coverage", "no" } }
        local cache = caches.open { redis = small:url(), timeout = 2, connect_timeout = 2 }
        assert.is_true(cache:set("key", "value"))
        local slot = small:slot_of(cache.name .. ":key")
        small.nodes[1]:call("FLUSHALL")
        small.nodes[1]:call("CLUSTER", "DELSLOTS", slot)
        local ok, err = cache:set("key", "other")
        assert.is_true(ok)
        says("CLUSTERDOWN Hash slot not served", err)
        run.wait_until("the map says so", function()
            return (select(2, cache:set("key", "other")) or ""):find("no node has slot " .. slot, 1,
                                                                     true)
        end)
        assert.are.equal("true", show(cache:set("another", "value")))
        cache:close()
        small:stop()
    end)

    it("may want a password, which nobody is told", function()
        local secret = clusters.start { masters = 2, password = "s3cret" }
        local cache = caches.open { redis = secret:url({ user = ":s3cret@" }), timeout = 2,
                                    connect_timeout = 2 }
        for i = 1, 10 do
            assert.are.equal("true", show(cache:set("key" .. i, "value")))
        end
        cache:close()
        cache = caches.open { redis = secret:url({ user = ":s3cret0@" }), timeout = 2,
                              connect_timeout = 2 }
        local _, err = cache:get("key")
        says("WRONGPASS", err)
        assert.is_nil(err:find("s3cret0", 1, true))
        cache:close()
        -- And a user has these rights, no others.
        for _, node in ipairs(secret.nodes) do
            node:call("ACL", "SETUSER", "app", "on", ">s3cret", "~app:*", "&__redis__:invalidate",
                      "&app:#tandem:changed", "+get", "+pttl", "+set", "+del", "+exists", "+scan",
                      "+unlink", "+ping", "+publish", "+subscribe", "+info", "+pexpire", "+persist",
                      "+eval", "+incrby", "+incrbyfloat", "+client|tracking", "+client|id",
                      "+client|trackinginfo", "+role", "+asking", "+cluster|info",
                      "+cluster|slots")
        end
        cache = open { redis = secret:url({ user = "app:s3cret@" }), prefix = "app:" }
        assert.are.equal("true", show(cache:set("key", "value")))
        run.wait_until("it is in memory for good, under the lease", function()
            return cache:stats().tracking.verifies > 0 and select(3, cache:get("key")) == "memory"
        end)
        assert.are.equal(1, cache:delete_by_pattern("k*"))
        assert.are.equal(0, cache:stats().redis.errors)
        cache:close()
        secret:stop()
    end)
end)
