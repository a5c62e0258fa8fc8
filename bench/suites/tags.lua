--- What tags cost: sets and gets in memory, reads and writes of Redis, and an invalidation, beside
-- a cache without.  In memory by this process's CPU time, in Redis by Redis's.

local clock = require "lib.clock"
local numbers = require "lib.numbers"
local report = require "lib.report"
local server = require "lib.server"

local KEYS, ROUNDS = 1000, 9
local VALUE = ("v"):rep(100)

local keys = {}
for i = 1, KEYS do
    keys[i] = "key:" .. i
end

local function tags_of(n)
    local tags = {}
    for i = 1, n do
        tags[i] = "tag:" .. i
    end
    return { tags = tags }
end

-- Kinds: with the option or not, and how many tags.
local KINDS = {
    { "no tags", false }, { "tags on", true }, { "1 tag", true, 1 }, { "3 tags", true, 3 },
}

-- Nanoseconds, as now counts them, of each call of fn for a key.
local function timed(now, fn)
    local began = now()
    for i = 1, KEYS do
        fn(keys[i])
    end
    return (now() - began) / KEYS
end

local function cpu_ns()
    return clock.cpu() * 1e9
end

local function in_memory(context)
    local tandem = require "resty.tandem"
    local sets, gets, result = {}, {}, {}
    for round = 1, context.quick and 30 or 200 do
        for i, kind in ipairs(KINDS) do
            local cache = assert(tandem.new("tags" .. i, { memory = "8m", near = false,
                                                           tags = kind[2] }))
            local opts = kind[3] and tags_of(kind[3])
            sets[i], gets[i] = sets[i] or {}, gets[i] or {}
            sets[i][round] = timed(cpu_ns, function(key) cache:set(key, VALUE, 100, opts) end)
            gets[i][round] = timed(cpu_ns, function(key) cache:get(key) end)
        end
    end
    for i, kind in ipairs(KINDS) do
        result[kind[1]] = { set = report.ratio(sets[i], sets[1]),
                            get = report.ratio(gets[i], gets[1]) }
        report.say("  in memory, %-8s set %4.0f ns (%.2f), get %4.0f ns (%.2f)", kind[1],
                   numbers.median(sets[i]), result[kind[1]].set, numbers.median(gets[i]),
                   result[kind[1]].get)
    end
    return result
end

-- Redis's CPU time until now, in ns.
local function cpu_of(pid)
    return function()
        local file = assert(io.open(("/proc/%d/schedstat"):format(pid)))
        local ns = tonumber(file:read("*n"))
        file:close()
        return ns
    end
end

local function in_redis(context)
    local tandem = require "resty.tandem"
    local now, result = cpu_of(server.start(context.scratch).pid), {}
    for i, kind in ipairs(KINDS) do
        local sets, gets = {}, {}
        local cache = assert(tandem.new("redis" .. i, {
            memory = "8m", redis = "unix://" .. context.scratch .. "/redis.sock", tags = kind[2],
            tracking = false, max_stale = 0, timeout = 10,
        }))
        local opts = kind[3] and tags_of(kind[3])
        for round = 1, context.quick and 3 or ROUNDS do
            sets[round] = timed(now, function(key) assert(cache:set(key, VALUE, 100, opts)) end)
            cache:clear()
            for _, key in ipairs(keys) do
                assert(cache:set(key, VALUE, 100, opts))
            end
            -- Another cache of the same keys, whose memory has none of them.
            local other = assert(tandem.new("other" .. i .. "." .. round, {
                memory = "1m", redis = "unix://" .. context.scratch .. "/redis.sock",
                prefix = cache.name .. ":", tags = kind[2], tracking = false, timeout = 10,
            }))
            gets[round] = timed(now, function(key) assert(other:get(key)) end)
            other:close()
        end
        result[kind[1]] = { set = numbers.median(sets), get = numbers.median(gets) }
        report.say("  Redis's CPU, one at a time, %-8s set %5.1f us, get %5.1f us", kind[1],
                   result[kind[1]].set / 1000, result[kind[1]].get / 1000)
        if kind[3] == 1 then
            result.invalidate = timed(now, function() assert(cache:invalidate_tag("tag:1")) end)
            report.say("  Redis's CPU, an invalidation %5.1f us", result.invalidate / 1000)
        end
    end
    return result
end

local function measure(context)
    return { memory = in_memory(context), redis = in_redis(context) }
end

return { needs = { "redis-server" }, run = measure }
