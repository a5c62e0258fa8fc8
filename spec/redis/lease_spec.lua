--- Without a link nothing is fresh for longer than max_stale; nor is anything after it that was
-- cached before.

local caches = require "spec.support.caches"
local proxy = require "spec.support.proxy"
local redis = require "spec.support.redis"
local remote = require "spec.support.remote"
local run = require "spec.support.run"

local MAX_STALE = 1
local COARSE = 0.01 -- what the clock of hits may lag behind

describe("without a tracking link", function()
    local server, way

    teardown(run.cleanup)

    before_each(function()
        server = redis.start()
        way = proxy.start(server.port)
    end)

    after_each(function()
        way:stop()
        server:stop()
    end)

    local function open(options)
        options.redis, options.max_stale = way:url(), MAX_STALE
        options.timeout, options.connect_timeout = options.timeout or 5, options.timeout or 5
        local cache = caches.on(server, options)
        server:call("SET", cache.name .. ":key", "old")
        run.wait_until("the key is in memory, under the lease", function()
            return cache:get("key") == "old" and cache:stats().tracking.invalidations > 0
                and select(3, cache:get("key")) == "memory"
        end)
        return cache
    end

    -- Since `cut` nothing is heard.  Until the lease is over memory may answer, not later.
    local function old_until(cut, ask, ended)
        local served
        run.wait_until("memory no longer answers", function()
            local began = run.now()
            local value, err, tier = ask()
            if value == "old" and tier == "memory" then
                served = began
                return false
            end
            return ended(value, err, tier)
        end)
        assert.is_true((served or 0) - cut <= MAX_STALE + COARSE, (served or 0) - cut)
    end

    local CUTS = {
        swallow = "that is a black hole, with nobody told",
        cut = "that is cut, and not to be had again",
    }

    for how, what in pairs(CUTS) do
        for _, policy in ipairs({ "degrade", "fail" }) do
            it(what .. ": Redis is asked (" .. policy .. ")", function()
                local cache = open({ on_redis_error = policy })
                way:treat_links(how)
                local cut = run.now()
                server:call("SET", cache.name .. ":key", "new")
                old_until(cut, function() return cache:get("key") end, function(value)
                    return value == "new"
                end)
                run.wait_until("it is known", function()
                    return cache:stats().tracking.state == "unavailable"
                end)
                -- What is asked for now is fresh for as long, by itself.
                assert.are.equal("new", cache:get("key"))
                local asked = run.now()
                server:call("SET", cache.name .. ":key", "newer")
                old_until(asked, function()
                    local value, err, tier = cache:get("key")
                    return value == "new" and "old" or value, err, tier
                end, function(value) return value == "newer" end)
                -- A new link is a gap.
                local gaps = cache:stats().tracking.gaps
                way:treat_links("pass")
                run.wait_until("tracking is back", function()
                    cache:get("key")
                    return cache:stats().tracking.state == "on"
                end)
                assert.are.equal(gaps + 1, cache:stats().tracking.gaps)
                cache:close()
            end)
        end
    end

    it("and with Redis stopped: stale, and said so (degrade)", function()
        local cache = open({ timeout = 0.5 })
        server.process:signal("STOP")
        local cut = run.now()
        old_until(cut, function() return cache:get("key") end, function(value, err, tier)
            assert.are.equal("old", value, err)
            return tier == "stale"
        end)
        assert.is_true(cache:stats().memory.stale > 0)
        server.process:thaw()
        server:call("SET", cache.name .. ":key", "new")
        run.wait_until("the new value is served", function() return cache:get("key") == "new" end)
        cache:close()
    end)

    it("and with Redis stopped: an error (fail)", function()
        local cache = open({ timeout = 0.5, on_redis_error = "fail" })
        server.process:signal("STOP")
        local cut = run.now()
        old_until(cut, function() return cache:get("key") end, function(value, err)
            assert.is_nil(value)
            return err
        end)
        server.process:thaw()
        cache:close()
    end)

    it("killed by Redis, and made anew: a gap, after which nothing of before is fresh", function()
        local cache = open({})
        local before = cache:stats().tracking
        for i = 1, 10 do
            server:call("CLIENT", "KILL", "TYPE", "pubsub")
            server:call("SET", cache.name .. ":key", "new " .. i)
            run.wait_until("there is another link", function()
                return cache:stats().tracking.gaps == before.gaps + i
            end)
            assert.are.equal("new " .. i, cache:get("key"))
        end
        cache:close()
    end)

    it("whose holders are stopped, a third process has one in time", function()
        local path = run.temp_dir() .. "/segment"
        local processes = {}
        for i = 1, 3 do
            processes[i] = remote.start()
            processes[i]:eval(([[
                cache = assert(require("resty.tandem").new("stopped", { memory = "2m", redis = %q,
                    path = %q, timeout = 5, max_stale = %d })) cache:get("absent")
            ]]):format(way:url(), path, MAX_STALE))
            run.wait_until("its link reports", function()
                return processes[i]:call("return cache:stats().tracking.covering") == math.min(i, 2)
            end)
        end
        local function ask()
            return unpack(processes[3]:call("return { cache:get('key') }"), 1, 3)
        end
        server:call("SET", "stopped:key", "old")
        run.wait_until("the key is in memory, under the lease", function()
            return select(3, ask()) == "memory"
                and processes[3]:call("return cache:stats().tracking.invalidations") >= 2
        end)
        processes[1].process:signal("STOP")
        processes[2].process:signal("STOP")
        local cut = run.now()
        server:call("SET", "stopped:key", "new")
        old_until(cut, ask, function(value) return value == "new" end)
        run.wait_until("there is another link", function()
            return processes[3]:call("return cache:stats().tracking.state") == "on"
        end)
        -- They go on, and what they say late does no harm.
        processes[1].process:thaw()
        processes[2].process:thaw()
        for i = 1, 50 do
            server:call("SET", "stopped:key", "newer " .. i)
            run.wait_until("the change is seen", function() return ask() == "newer " .. i end)
        end
        for _, process in ipairs(processes) do
            process:stop()
        end
    end)
end)
