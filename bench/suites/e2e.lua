--- A site end to end: an nginx of two workers, wrk, and the caches one after the other in front of
-- a database that takes 20 ms.  Each time nginx and Redis begin empty, are filled and warmed up.

local numbers = require "lib.numbers"
local plot = require "lib.plot"
local report = require "lib.report"
local server = require "lib.server"
local site = require "lib.site"

local CONNECTIONS, WRITES, TTL = 50, 0.05, 120

local FIELDS = { "per_second", "p50", "p99", "p999", "worker_us", "commands", "loads" }

-- One candidate, once, with an nginx of its own.
local function run(context, name, plan, round)
    local running = site.start(context, name, round, plan.keys, TTL)
    local function load(seconds, seed)
        return site.load(context, running, { connections = CONNECTIONS, writes = WRITES,
                                             seconds = seconds, seed = seed })
    end
    load(plan.warm, round)
    local row = load(plan.seconds, round + 100)
    site.stop(running)
    return row
end

local function draw(context, names, result)
    local bars = {}
    for _, what in ipairs { { "requests a second", "per_second" }, { "p50, µs", "p50" },
                            { "worker's CPU, µs a request", "worker_us" } } do
        for _, name in ipairs(names) do
            bars[#bars + 1] = { what[1] .. ", " .. site.TITLES[name], result[name][what[2]], name }
        end
    end
    plot.bars(context.results .. "/e2e.svg",
              "A site with 95 % reads and 5 % writes, a database of 20 ms behind it", bars)
end

local function measure(context)
    local plan = context.quick and { rounds = 1, keys = 2000, warm = 0.1, seconds = 0.3 }
        or { rounds = 3, keys = 20000, warm = 2, seconds = 5 }
    local names = site.candidates { "none", "redis", "shdict", "mlcache", "tandem", "stale" }
    local rows, result = {}, {}
    server.start(context.scratch)
    for round = 1, plan.rounds do
        for turn = 1, #names do
            local name = names[(turn + round) % #names + 1]
            rows[name] = rows[name] or {}
            table.insert(rows[name], run(context, name, plan, round))
        end
    end
    for _, name in ipairs(names) do
        local r = numbers.medians(rows[name], FIELDS)
        result[name] = r
        report.say("  %-17s %6.0f a second; p50 %6.2f ms, p99 %6.2f, p99.9 %6.2f; workers %6.1f us "
                   .. "a request; %.3f commands of Redis a request; %5.0f loads a second",
                   site.TITLES[name], r.per_second, r.p50 / 1000, r.p99 / 1000, r.p999 / 1000,
                   r.worker_us, r.commands, r.loads)
    end
    draw(context, names, result)
    return result
end

return { needs = site.NEEDS, run = measure }
