--- Memory in front of a Redis Cluster: what is fresh with a node away, or once a slot has moved.

local caches = require "spec.support.caches"
local clusters = require "spec.support.clusters"
local remote = require "spec.support.remote"
local run = require "spec.support.run"

local MAX_STALE, KEYS = 1, 30

describe("memory in front of a Redis Cluster", function()
    local cluster

    -- Without replicas: what is lost stays so, and in the end all say that the cluster is down.
    setup(function() cluster = clusters.start() end)
    teardown(function()
        cluster:stop()
        run.cleanup()
    end)
    after_each(function() cluster:mend() end)

    local function open(options)
        options = options or {}
        options.redis = { url = cluster:url(), client_name = "spec" }
        options.max_stale = MAX_STALE
        options.timeout, options.connect_timeout = 0.25, 0.5
        return caches.on(nil, options)
    end

    -- The lane of a key, and the master of all its slots; nil where there are two: with either of
    -- which it is lost.
    local function lane_of(key)
        local slot = cluster:slot_of(key)
        local first = slot - slot % 64
        local master = cluster:master_of(first)
        return first, master == cluster:master_of(first + 63) and master or nil
    end

    -- Writes all keys, and waits until each has been read back: not one whose lane had no lease at
    -- that moment.
    local function write_all(cache)
        local before = cache:stats().tracking.verifies
        for i = 1, KEYS do
            assert.is_true(cache:set("key" .. i, "value"))
        end
        return pcall(run.wait_until, "all are read back", function()
            return cache:stats().tracking.verifies >= before + KEYS
        end, 2)
    end

    -- Keys with their values in memory for good, each in another lane: those of a node, and those
    -- of the others.
    local function fill(cache, node)
        local lost, kept, seen = {}, {}, {}
        for i = 1, KEYS do
            local key = "key" .. i
            local lane, master = lane_of(cache.name .. ":" .. key)
            local list = master == node and lost or kept
            if master and not seen[lane] then
                list[#list + 1] = key
            end
            seen[lane] = true
        end
        run.wait_until("they are in memory for good", function() return write_all(cache) end)
        for i = 1, KEYS do
            run.wait_until("also this one", function()
                return select(3, cache:get("key" .. i)) == "memory"
            end)
        end
        assert.is_true(#lost > 0 and #kept > 0)
        return lost, kept
    end

    local function is_fresh(cache, key, value)
        local got, err, tier = cache:get(key)
        assert.are.equal(value or "value", got, err)
        return tier == "memory"
    end

    local function are_fresh(cache, keys)
        for _, key in ipairs(keys) do
            assert.is_true(is_fresh(cache, key), key)
        end
    end

    local function await_stale(cache, keys)
        for _, key in ipairs(keys) do
            run.wait_until(key .. " is stale", function() return not is_fresh(cache, key) end)
        end
    end

    -- Longer than any lease that is not renewed.
    local function throughout(seconds, fn)
        local ends = run.now() + seconds
        repeat
            fn()
            run.nap(5)
        until run.now() > ends
    end

    -- Where slots are without a node, all others say that the cluster is down, or need not.
    local function require_all_slots(all)
        for _, node in ipairs(cluster.nodes) do
            node:call("CONFIG", "SET", "cluster-require-full-coverage", all and "yes" or "no")
        end
    end

    for what, options in pairs({
        ["hangs"] = { lose = "freeze" },
        ["hangs, with a near table"] = { lose = "freeze", near = { entries = 100, bytes = "1m" } },
        ["is killed"] = { lose = "kill" },
        ["is killed, and the others say that the cluster is down"] = { lose = "kill", down = true },
    }) do
        it("is fresh for the others where a master " .. what, function()
            require_all_slots(options.down)
            local cache = open { near = options.near or false }
            local node = cluster.nodes[2]
            local lost, kept = fill(cache, node)
            local hits = cache:stats().redis.hits
            node[options.lose](node)
            await_stale(cache, lost)
            throughout(3 * MAX_STALE, function()
                are_fresh(cache, kept)
                assert.is_false(is_fresh(cache, lost[1]))
            end)
            local stats = cache:stats()
            assert.are.equal(hits, stats.redis.hits) -- nobody has asked Redis for them
            assert.are.equal("unavailable", stats.tracking.state) -- not all of it
            assert.are.equal(options.near ~= nil, stats.memory.near_hits > 0)
            if not options.down then -- the others report on
                cluster:call("SET", cache.name .. ":" .. kept[1], "theirs")
                run.wait_until("a change is seen", function()
                    return cache:get(kept[1]) == "theirs"
                end)
                table.remove(kept, 1)
            end
            node:mend()
            cluster:await()
            if options.lose == "kill" then -- what it had is lost
                for _, key in ipairs(lost) do
                    node:call("SET", cache.name .. ":" .. key, "value")
                end
            end
            run.wait_until("all are fresh again", function()
                cache:get(lost[1])
                return cache:stats().tracking.state == "on"
            end, 20)
            hits = cache:stats().redis.hits
            are_fresh(cache, kept)
            assert.are.equal(hits, cache:stats().redis.hits)
            -- Its changes of that time may have been missed.
            assert.is_true(cache:stats().tracking.gaps > 0)
            assert.is_false(is_fresh(cache, lost[2]))
            run.wait_until("it is kept again", function() return is_fresh(cache, lost[2]) end)
            cache:close()
        end)
    end

    -- As one does that is cut off, when the others may have elected another.
    it("is fresh for the others where a master says that the cluster is down, and they do not",
       function()
        local whole = cluster
        cluster = clusters.start()
        finally(function()
            cluster:stop()
            cluster = whole
        end)
        local cache = open { near = false }
        local node = cluster.nodes[3]
        -- A slot that nobody has, in a lane without keys, which is nothing to those who do not ask
        -- for all.
        local taken, slot = {}, 0
        for i = 1, KEYS do
            taken[lane_of(cache.name .. ":key" .. i)] = true
        end
        while taken[slot] do
            slot = slot + 64
        end
        for _, any in ipairs(cluster.nodes) do
            any:call("CONFIG", "SET", "cluster-require-full-coverage", "no")
            any:call("CLUSTER", "DELSLOTS", slot)
        end
        local lost, kept = fill(cache, node)
        node:call("CONFIG", "SET", "cluster-require-full-coverage", "yes")
        node:call("CLUSTER", "DELSLOTS", slot + 1) -- has it look; its owner tells it otherwise soon
        await_stale(cache, lost)
        throughout(2 * MAX_STALE, function()
            are_fresh(cache, kept)
            assert.is_false(is_fresh(cache, lost[1]))
        end)
        assert.is_truthy(cluster.nodes[1]:call("CLUSTER", "INFO"):find("cluster_state:ok", 1, true))
        assert.are.equal(0, cache:stats().tracking.losses)
        cache:close()
    end)

    -- Whose message, and that of its end, may come when nobody listens.
    it("does not wait for a message of a master whose link is away", function()
        local cache = open { near = false }
        local node = cluster:master_of(cache.name .. ":#tandem:canary")
        local _, kept = fill(cache, node)
        for _, each in ipairs(cluster.nodes) do
            each:call("CLIENT", "KILL", "TYPE", "pubsub")
        end
        throughout(1.2, function() node:call("CLIENT", "KILL", "TYPE", "pubsub") end)
        run.wait_until("all are fresh again", function()
            return is_fresh(cache, kept[1]) and cache:stats().tracking.state == "on"
        end, 5)
        cache:close()
    end)

    -- Those may have given their slots, and its own, to others.
    it("is fresh for no slot where most masters hang", function()
        local cache = open { near = false }
        local lost, kept = fill(cache, cluster.nodes[1])
        cluster.nodes[2]:freeze()
        cluster.nodes[3]:freeze()
        await_stale(cache, kept)
        await_stale(cache, lost)
        cache:close()
    end)

    it("has what came of a slot that has moved dropped, and nothing else", function()
        local cache = open { near = false }
        local node = cluster.nodes[1]
        local lost, kept = fill(cache, node)
        local moved, slot = lost[1], cluster:slot_of(cache.name .. ":" .. lost[1])
        local hits = cache:stats().redis.hits
        cluster:move(slot, node, cluster.nodes[2])
        run.wait_until("it is read where it is now", function()
            return not is_fresh(cache, moved)
        end)
        run.wait_until("and kept", function() return is_fresh(cache, moved) end)
        are_fresh(cache, kept)
        for i = 2, #lost do
            assert.is_true(is_fresh(cache, lost[i]), lost[i])
        end
        -- Answers are not kept until the new map is known.
        throughout(3 * MAX_STALE, function() are_fresh(cache, kept) end)
        assert.are.equal("on", cache:stats().tracking.state)
        assert.is_true(cache:stats().redis.hits > hits)
        cluster.nodes[2]:call("SET", cache.name .. ":" .. moved, "theirs")
        run.wait_until("a change is seen", function() return cache:get(moved) == "theirs" end)
        cluster:await()
        cluster:move(slot, cluster.nodes[2], node)
        cache:close()
    end)

    it("has what is near a slot that has moved dropped, though no key of it is reported", function()
        local cache = open { near = false }
        local node, other = cluster.nodes[1], cluster.nodes[2]
        local there, kept = fill(cache, node)
        local slot = cluster:slot_of(cache.name .. ":" .. there[1])
        local beside = slot % 64 > 0 and slot - 1 or slot + 1 -- in the same lane
        cluster:move(beside, node, other)
        run.wait_until("the map is known", function() return not is_fresh(cache, there[1]) end, 20)
        run.wait_until("it is kept again", function() return is_fresh(cache, there[1]) end)
        are_fresh(cache, kept)
        cluster:call("SET", cache.name .. ":" .. there[1], "theirs")
        run.wait_until("a change is seen", function() return cache:get(there[1]) == "theirs" end)
        cluster:await()
        cluster:move(beside, other, node)
        cache:close()
    end)

    -- Three processes that share a segment, two of which have links.
    local function several()
        local processes, path = {}, run.temp_dir() .. "/segment"
        local function process(i)
            processes[i] = remote.start()
            processes[i]:eval(([[
                cache = assert(require("resty.tandem").new("several", { memory = "2m", path = %q,
                    near = false, redis = %q, timeout = 0.25, connect_timeout = 0.5,
                    max_stale = %d }))
                cache:get("absent")
            ]]):format(path, cluster:url(), MAX_STALE))
        end
        local function await_links()
            run.wait_until("two have links", function()
                return processes[3]:call("return cache:stats().tracking.covering") == 2
            end)
        end
        for i = 1, 3 do
            process(i)
        end
        await_links()
        return processes, process, await_links
    end

    local function tier_of(process, key)
        return process:call(("return (select(3, cache:get(%q)))"):format(key))
    end

    it("is kept by all processes of a host, also of slots beside those of another master",
       function()
        local processes = several()
        for _, first in ipairs { 5440, 10880 } do -- 5461 and 10922 begin a master's
            local number = 0
            repeat
                number = number + 1
                local slot = cluster:slot_of("several:key" .. number)
            until slot >= first and slot < first + 64
            local key = "key" .. number
            for i = 1, 3 do
                processes[i]:eval(("assert(cache:set(%q, 'value'))"):format(key))
                for other = 1, 3 do
                    run.wait_until("it is in memory for good", function()
                        return tier_of(processes[other], key) == "memory"
                    end)
                end
            end
        end
        assert.are.equal(0, processes[3]:call("return cache:stats().tracking.strangers"))
        for i = 1, 3 do
            processes[i].process:kill()
        end
    end)

    it("is fresh for all processes of a host while a master hangs and one with a link is killed",
       function()
        local processes, process, await_links = several()
        local node, kept, lost = cluster.nodes[3], nil, nil
        for i = 1, KEYS do
            local key = "key" .. i
            processes[3]:eval(("assert(cache:set(%q, 'value'))"):format(key))
            local there = cluster:master_of("several:" .. key) == node
            lost, kept = there and key or lost, there and kept or key
        end
        local function tier(i, key)
            return tier_of(processes[i], key)
        end
        for i = 1, 3 do
            for _, key in ipairs { lost, kept } do
                run.wait_until("it is in memory for good", function()
                    return tier(i, key) == "memory"
                end)
            end
        end
        node:freeze()
        run.wait_until("what it has is stale", function() return tier(3, lost) ~= "memory" end)
        for _, other in ipairs { 1, 2 } do
            processes[other].process:kill()
            throughout(2 * MAX_STALE, function()
                assert.are.equal("memory", tier(3, kept))
                assert.are_not.equal("memory", tier(3, lost))
            end)
            process(other)
            await_links()
        end
    end)
end)
