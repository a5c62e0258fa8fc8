--- redis.replicas = "prefer": what memory has not is read from its master's replica, where that has
-- it as the master has it.

local caches = require "spec.support.caches"
local clusters = require "spec.support.clusters"
local run = require "spec.support.run"
local show = require "spec.support.show"

local PATIENT_MS = 60000 -- nobody takes over

describe("replicas of a Redis Cluster, where they are preferred,", function()
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
        replica:thaw()
        cluster:catch_up(replica)
        cluster:await_replicas()
    end)

    -- Each a host of its own.
    local function open(options)
        options = options or {}
        options.redis = { url = cluster:url(), replicas = "prefer" }
        options.memory, options.prefix = "64m", "p:"
        options.near, options.max_stale = false, 5
        return caches.on(nil, options)
    end

    -- n keys that are with the master and that no test before had, with values, of which the cache
    -- has been told.
    local i = 0
    local function written_keys(cache, n)
        local keys, told = {}, cache:stats().tracking.invalidations
        while #keys < n do
            i = i + 1
            local name = "p:key" .. i
            if cluster:master_of(name) == master then
                keys[#keys + 1] = "key" .. i
                master:call("SET", name, "value" .. i)
            end
        end
        run.wait_until("they are told", function() -- the canary may be, too
            return cache:stats().tracking.invalidations >= told + n
        end)
        keys[n] = nil
        return keys
    end

    local function reads(cache)
        return cache:stats().redis.replica_reads
    end

    -- Reads keys, which memory does not have, until so many have been a replica's.
    local function read_until_preferred(cache, keys)
        run.wait_until("the replica is asked", function()
            local key = table.remove(keys, 1)
            if not key then
                error("the replica was not asked for any key")
            end
            assert.are.equal((key:gsub("key", "value")), (cache:get(key)))
            run.nap(20)
            return reads(cache) > 0
        end)
    end

    local function gets(node)
        return tonumber(node:call("INFO", "commandstats"):match("cmdstat_get:calls=(%d+)") or 0)
    end

    it("are read from, and what they say is kept and fresh", function()
        local cache = open()
        local keys = written_keys(cache, 250)
        read_until_preferred(cache, keys)
        local of_master, of_replica, began = gets(master), gets(replica), reads(cache)
        for _, key in ipairs(keys) do
            assert.are.equal(("'%s' nil 'redis'"):format((key:gsub("key", "value"))),
                             show(cache:get(key)))
            assert.are.equal("memory", (select(3, cache:get(key))))
        end
        assert.is_true(#keys > 50)
        assert.are.equal(reads(cache) - began, gets(replica) - of_replica)
        assert.are.equal(#keys, gets(replica) - of_replica + gets(master) - of_master)
        assert.is_true(gets(master) - of_master < #keys / 10) -- a busy machine may take its time
        -- A change is seen as any.
        master:call("SET", "p:" .. keys[1], "later")
        run.wait_until("a change is seen", function() return cache:get(keys[1]) == "later" end)
        cache:close()
    end)

    it("are not asked for what they lack", function()
        local cache = open()
        local keys = written_keys(cache, 250)
        cluster:await_replicas()
        read_until_preferred(cache, keys)
        clusters.fall_behind(replica)
        -- Changed by another program, which the link tells; and of ours.
        local theirs, ours, gone = unpack(keys)
        master:call("SET", "p:" .. theirs, "theirs")
        assert.is_true((cache:set(ours, "ours")))
        assert.is_true((cache:delete(gone)))
        run.wait_until("it is told", function() return cache:get(theirs) == "theirs" end)
        for _ = 1, 50 do -- memory loses them, again and again
            assert.are.equal("ours", (cache:get(ours)))
            assert.are.equal("theirs", (cache:get(theirs)))
            assert.is_nil((cache:get(gone)))
            for _, key in ipairs { theirs, ours } do
                master:call("PEXPIRE", "p:" .. key, 60000) -- one change more
            end
            run.nap(10)
        end
        -- Everything else it is, as long as nothing is known against that.
        assert.are.equal((keys[4]:gsub("key", "value")), (cache:get(keys[4])))
        cache:close()
    end)

    it("answer other hosts, and never with less than was there when these last heard", function()
        local host, other = open(), open()
        local keys = written_keys(host, 250)
        cluster:await_replicas()
        read_until_preferred(host, keys)
        local key = keys[1]
        for version = 1, 300 do
            local value = tostring(version)
            assert.is_true((other:set(key, value)))
            assert.are.equal(value, (other:get(key)))
            local before = tonumber((host:get(key)))
            assert.is_true(before == version or before == version - 1 or version == 1)
            run.wait_until("the other host sees it", function() return host:get(key) == value end)
        end
        other:close()
        host:close()
    end)

    it("leave what they do not answer to their masters", function()
        local cache = open { timeout = 1 }
        local keys = written_keys(cache, 250)
        cluster:await_replicas()
        read_until_preferred(cache, keys)
        assert.is_nil((cache:get(keys[1] .. "absent")))
        replica:freeze()
        for n = 1, 10 do
            assert.are.equal((keys[n]:gsub("key", "value")), (cache:get(keys[n])))
        end
        replica:thaw()
        replica:call("CONFIG", "SET", "replica-serve-stale-data", "no")
        clusters.fall_behind(replica)
        for n = 11, 20 do
            assert.are.equal((keys[n]:gsub("key", "value")), (cache:get(keys[n])))
            run.nap(20)
        end
        replica:call("CONFIG", "SET", "replica-serve-stale-data", "yes")
        cluster:catch_up(replica)
        local began = reads(cache)
        run.wait_until("the replica is asked again", function()
            local key = table.remove(keys)
            assert.are.equal((key:gsub("key", "value")), (cache:get(key)))
            run.nap(40)
            return reads(cache) > began
        end, 10)
        cache:close()
    end)
end)
