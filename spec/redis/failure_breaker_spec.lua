-- What an outage costs those who do not need Redis, and those who do: the breaker.

local caches = require "spec.support.caches"
local ffi = require "ffi"
local peer = require "spec.support.peer"
local redis = require "spec.support.redis"
local remote = require "spec.support.remote"
local run = require "spec.support.run"
local show = require "spec.support.show"

ffi.cdef [[
struct spec_breaker_time { long s, ns; };
int clock_gettime(int clock, struct spec_breaker_time *time);
]]

local time = ffi.new("struct spec_breaker_time")

-- CLOCK_MONOTONIC, in seconds, for a few nanoseconds.
local function clock()
    ffi.C.clock_gettime(1, time)
    return tonumber(time.s) + tonumber(time.ns) / 1e9
end

-- Attempts to connect that the shortest pauses allow in so many seconds.
local function attempts_in(seconds)
    local n, at, pause = 1, 0, 0.025
    while at < seconds do
        n, at = n + 1, at + pause
        pause = math.min(2 * pause, 0.75)
    end
    return n
end

local function is_down(cache)
    return cache:stats().redis.state == "down"
end

describe("the breaker", function()
    teardown(run.cleanup)

    it("has attempts made by itself, however many requests come in", function()
        local one = peer.start(peer.HANGS_UP)
        local cache = caches.open({ redis = one:url(), tracking = false })
        local began = run.now()
        run.wait_until("it is open", function()
            cache:get("absent")
            return is_down(cache)
        end)
        -- Nobody asks, and it tries again.
        local before = one:count("^connection")
        run.wait_until("it tries again", function()
            return one:count("^connection") > before + 2
        end)
        -- Everybody asks, and it does not try more often.
        local requests, deadline = 0, run.now() + 2
        while requests < 1000 or run.now() < deadline do
            for _ = 1, 10 do
                assert.is_truthy(select(2, cache:get("absent" .. requests)))
                requests = requests + 1
            end
            run.nap(1)
        end
        local took = run.now() - began
        assert.is_true(one:count("^connection") <= attempts_in(took),
                       ("%d attempts in %.1f s"):format(one:count("^connection"), took))
        one:stop()
    end)

    it("of processes that share a segment has as many attempts as one process", function()
        local PROCESSES = 6
        local one, path = peer.start(peer.HANGS_UP), run.temp_dir() .. "/segment"
        local remotes, began = {}, run.now()
        for i = 1, PROCESSES do
            remotes[i] = remote.start()
            remotes[i]:eval(("cache = require('resty.tandem').new('probed', { memory = '2m', "
                .. "path = %q, redis = %q, tracking = false })"):format(path, one:url()))
            run.wait_until("it is open", function()
                return remotes[i]:call("cache:get('absent') return cache:stats().redis.state")
                    == "down"
            end)
        end
        run.wait_until("there was time for many attempts", function()
            for _, each in ipairs(remotes) do
                assert.is_truthy(each:call("return select(2, cache:get('absent'))"))
            end
            return attempts_in(run.now() - began) >= 6 + PROCESSES
        end, 30)
        -- The first of each, its connection being lost, is its own.
        local took, attempts = run.now() - began, one:count("^connection")
        assert.is_true(attempts >= PROCESSES)
        assert.is_true(attempts <= PROCESSES + attempts_in(took),
                       ("%d attempts in %.1f s"):format(attempts, took))
        for _, each in ipairs(remotes) do
            each:stop()
        end
        one:stop()
    end)

    it("of processes that share a segment closes in all, once one gets through", function()
        local server, path, remotes = redis.start(), run.temp_dir() .. "/segment", {}
        for i = 1, 4 do
            remotes[i] = remote.start()
            remotes[i]:eval(("cache = require('resty.tandem').new('probed', { memory = '2m', "
                .. "path = %q, redis = %q, tracking = false })"):format(path, server:url()))
            assert.are.equal("'value'", remotes[i]:eval("return cache:set('key', 'value') "
                .. "and cache:get('key')"):match("^%S+"))
        end
        server:kill()
        local function all_are(state)
            run.wait_until("all are " .. state, function()
                local n = 0
                for _, each in ipairs(remotes) do
                    each:eval("cache:get('absent')")
                    n = n + (each:call("return cache:stats().redis.state") == state and 1 or 0)
                end
                return n == #remotes
            end, 30)
        end
        all_are("down")
        server:restart()
        all_are("up")
        for _, each in ipairs(remotes) do
            each:stop()
        end
    end)

    it("open, has a miss cost less than 50 microseconds, whatever is the matter", function()
        local server = redis.start()
        local frozen = caches.on(server, { timeout = 0.1, connect_timeout = 0.1 })
        local refused = caches.open({ redis = "redis://127.0.0.1:" .. redis.free_port() })
        local failing = caches.open({ redis = "redis://127.0.0.1:" .. redis.free_port(),
                                      on_redis_error = "fail" })
        frozen:get("absent")
        server:freeze()
        for _, cache in ipairs({ frozen, refused, failing }) do
            run.wait_until("it is open", function()
                cache:get("absent")
                return is_down(cache)
            end)
            local batches = {}
            for i = 1, 101 do
                local began = clock()
                for j = 1, 50 do
                    local value, err = cache:get("absent" .. j)
                    if value or not err then
                        error("it was asked")
                    end
                end
                batches[i] = (clock() - began) / 50
            end
            table.sort(batches)
            assert.is_true(batches[51] < 50e-6,
                           ("the median is %.1f microseconds"):format(batches[51] * 1e6))
        end
        server:stop()
    end)

    -- The least seconds that n hits took in some rounds.
    local function hits(cache, n)
        local began = clock()
        for _ = 1, n do
            if cache:get("kept") ~= "value" then
                error("not a hit")
            end
        end
        return clock() - began
    end

    for name, near in pairs({ ["from the segment"] = false, ["from the near table"] = true }) do
        it("open, has hits " .. name .. " cost what they cost before, within 5 %", function()
            local server = redis.start()
            local cache = caches.on(server, { near = near, tracking = false, timeout = 0.05,
                                              connect_timeout = 0.1 })
            assert.are.equal("true", show(cache:set("kept", "value")))
            hits(cache, 1000)
            -- What else runs on the machine can only add to either: the least of several rounds.
            local before, during, rounds = math.huge, math.huge, 0
            run.wait_until("hits cost as little as before", function()
                run.wait_until("Redis is used", function()
                    return not select(2, cache:get("absent"))
                end)
                for _ = 1, 5 do
                    before = math.min(before, hits(cache, 20000))
                end
                server:freeze()
                run.wait_until("the breaker is open", function()
                    cache:get("absent")
                    return is_down(cache)
                end)
                for _ = 1, 5 do
                    during = math.min(during, hits(cache, 20000))
                end
                assert.is_true(is_down(cache))
                server:thaw()
                rounds = rounds + 1
                return rounds >= 3 and during <= 1.05 * before
            end, 20)
            server:stop()
        end)
    end
end)

describe("once the lease is over", function()
    local TIMEOUT = 0.5

    teardown(run.cleanup)

    -- What is the matter begins; from then on until it is stale, and a while longer, memory is read
    -- all the time: no read ever waits.
    local function check(cache, matter)
        run.wait_until("memory has it", function()
            return show(cache:get("kept")) == "'value' nil 'memory'"
                and cache:stats().tracking.state == "on"
        end)
        matter()
        local slowest, stale, deadline = 0, 0, run.now() + 6
        repeat
            local began = clock()
            local value, err, tier = cache:get("kept")
            slowest = math.max(slowest, clock() - began)
            assert.are.equal("'value' nil", show(value, err))
            if tier == "stale" then
                stale = stale + 1
            end
            run.nap(1)
        until stale > 1000 or run.now() > deadline
        assert.is_true(stale > 500, "it was stale " .. stale .. " times")
        assert.is_true(slowest < TIMEOUT / 2, ("a read took %.0f ms"):format(slowest * 1000))
    end

    for name, matter in pairs({ killed = "kill", stopped = "freeze" }) do
        it("and Redis is " .. name .. ", reads of what memory has never wait", function()
            local server = redis.start()
            local cache = caches.on(server, { tracking = true, timeout = TIMEOUT,
                                              connect_timeout = TIMEOUT })
            server:call("SET", cache.name .. ":kept", "value")
            check(cache, function() server[matter](server) end)
            server:stop()
        end)
    end
end)
