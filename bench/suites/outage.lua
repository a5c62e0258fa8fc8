--- What a Redis that is away costs: hits in memory while they are fresh, and once they are stale;
-- misses with the breaker open; and misses when Redis hangs.

local clock = require "lib.clock"
local numbers = require "lib.numbers"
local process = require "lib.process"
local report = require "lib.report"
local server = require "lib.server"

local KEYS, TIMEOUT = 1000, 0.25

local function fill(cache)
    local keys, value = {}, ("v"):rep(100)
    for i = 1, KEYS do
        keys[i] = ("key:%012d"):format(i)
        assert(cache:set(keys[i], value))
    end
    local deadline = clock.wall() + 10
    for i = 1, KEYS do
        while select(3, cache:get(keys[i])) ~= "memory" do
            assert(clock.wall() < deadline, "what was set does not become fresh in memory")
            os.execute("sleep 0.01")
        end
    end
    return keys
end

-- Nanoseconds of CPU time a hit of that tier; the least of some rounds.
local function hits(cache, keys, tier, rounds)
    local least = math.huge
    for _ = 1, rounds do
        local found, start = 0, clock.cpu()
        for _ = 1, 20 do
            for i = 1, KEYS do
                local _, _, from = cache:get(keys[i])
                if from == tier then
                    found = found + 1
                end
            end
        end
        least = math.min(least, (clock.cpu() - start) / (20 * KEYS) * 1e9)
        assert(found == 20 * KEYS, ("%d of %d hits were %s"):format(found, 20 * KEYS, tier))
    end
    return least
end

-- Milliseconds that misses take, each of another key: the median, and the longest.
local function misses(cache, count)
    local times = {}
    for i = 1, count do
        local start = clock.wall()
        local value, err = cache:get("absent" .. i)
        times[i] = (clock.wall() - start) * 1000
        assert(value == nil and err)
    end
    return numbers.median(times), math.max(unpack(times))
end

local function open(context, name, max_stale)
    return assert(require("resty.tandem").new(name, {
        memory = "64m", near = false, max_stale = max_stale, timeout = TIMEOUT,
        redis = ("unix://%s/redis.sock"):format(context.scratch),
    }))
end

local function is_stale(cache, key)
    return select(3, cache:get(key)) == "stale"
end

-- Killed: fresh for max_stale, stale after that.
local function killed(context, rounds)
    local redis = server.start(context.scratch)
    local max_stale = context.quick and 3 or 10
    local cache = open(context, "killed", max_stale)
    local keys = fill(cache)
    hits(cache, keys, "memory", rounds) -- traces are made
    local result = { up_ns = hits(cache, keys, "memory", rounds) }
    process.stop(redis, "KILL")
    result.away_ns = hits(cache, keys, "memory", rounds)
    local deadline = clock.wall() + max_stale + 5
    while not is_stale(cache, keys[1]) do
        assert(clock.wall() < deadline, "hits do not become stale")
        os.execute("sleep 0.1")
    end
    hits(cache, keys, "stale", rounds)
    result.stale_ns = hits(cache, keys, "stale", rounds)
    result.miss_ms, result.worst_miss_ms = misses(cache, 1000)
    cache:close()
    return result
end

-- Stopped: it answers nothing, and its connections stay.
local function hanging(context)
    local redis = server.start(context.scratch)
    local cache = open(context, "hanging", 2)
    fill(cache)
    os.execute("kill -STOP " .. redis.pid)
    local _, worst = misses(cache, 20)
    cache:close()
    process.stop(redis, "KILL")
    return worst
end

local function measure(context)
    local result = killed(context, context.quick and 5 or 30)
    result.hang_ms = hanging(context)
    report.say("  a hit in memory: %.0f ns with Redis, %.0f without it while fresh, %.0f once stale",
               result.up_ns, result.away_ns, result.stale_ns)
    report.say("  a miss with the breaker open: %.3f ms, at worst %.3f; where Redis hangs %.0f at "
               .. "worst, with a timeout of %.0f", result.miss_ms, result.worst_miss_ms,
               result.hang_ms, TIMEOUT * 1000)
    report.target("fresh hits without Redis, against those with it", result.away_ns / result.up_ns,
                  1.05, true)
    report.target("stale hits, against fresh ones", result.stale_ns / result.up_ns, 1.5, true,
                  "each says in a sentence, which becomes a Lua string, why Redis is away")
    report.target("a miss with the breaker open, ms", result.miss_ms, 1, true)
    report.target("a miss where Redis hangs, at worst, against the timeout",
                  result.hang_ms / (TIMEOUT * 1000), 1.2, true)
    return result
end

return { needs = { "redis-server" }, run = measure }
