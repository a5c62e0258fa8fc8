--- The site of suites/e2e.lua with more and more writes among the requests, and with more and more
-- requests at once.  Nothing expires meanwhile: that is what the caches cost, not the database.

local numbers = require "lib.numbers"
local plot = require "lib.plot"
local report = require "lib.report"
local server = require "lib.server"
local site = require "lib.site"

local TTL = 1000000
local CONNECTIONS, WRITES = 50, 0.05 -- while the other one varies

local FIELDS = { "per_second", "p50", "p99", "p999", "worker_us", "commands" }

local QUICK = { rounds = 1, keys = 2000, seconds = 0.1, writes = { 0, 0.5 },
                connections = { 1, 500 } }
local FULL = { rounds = 3, keys = 20000, seconds = 1, writes = { 0, 0.05, 0.1, 0.2, 0.3, 0.5 },
               connections = { 1, 5, 20, 50, 100, 200, 500 } }

-- What is measured on each site: loads, by "writes" or "connections" and how many.
local function loads_of(plan)
    local loads = {}
    for _, writes in ipairs(plan.writes) do
        loads[#loads + 1] = { by = "writes", at = writes, writes = writes,
                              connections = CONNECTIONS }
    end
    for _, connections in ipairs(plan.connections) do
        loads[#loads + 1] = { by = "connections", at = connections, writes = WRITES,
                              connections = connections }
    end
    return loads
end

-- One candidate, once: appends a row for each load.
local function run(context, name, plan, round, rows)
    local running = site.start(context, name, round, plan.keys, TTL)
    local function load(of, seed)
        return site.load(context, running, { connections = of.connections, writes = of.writes,
                                             seconds = plan.seconds, seed = seed })
    end
    load({ connections = CONNECTIONS, writes = WRITES }, 1) -- warms up
    for i, of in ipairs(loads_of(plan)) do
        rows[i] = rows[i] or {}
        table.insert(rows[i], load(of, round * 100 + i))
    end
    site.stop(running)
end

local function say(title, of, r)
    report.say("  %-17s %2.0f %% writes, %3d at once: %6.0f a second; p50 %6.2f ms, p99 %6.2f, "
               .. "p99.9 %6.2f; workers %5.1f us a request; %.3f commands of Redis a request",
               title, of.writes * 100, of.connections, r.per_second, r.p50 / 1000, r.p99 / 1000,
               r.p999 / 1000, r.worker_us, r.commands)
end

local function draw(context, names, result)
    local function series(by, field, scale_x, scale_y)
        local list = {}
        for _, name in ipairs(names) do
            local points = {}
            for _, row in ipairs(result[name]) do
                if row.by == by then
                    points[#points + 1] = { row.at * scale_x, row[field] * scale_y }
                end
            end
            list[#list + 1] = { name = site.TITLES[name], points = points, bold = name == "tandem" }
        end
        return list
    end
    plot.lines(context.results .. "/scaling.svg",
               "A site by the part of its requests that write, and by requests at once", {
        { title = "requests a second, by % of writes (50 at once)",
          series = series("writes", "per_second", 100, 1) },
        { title = "workers' CPU, µs a request, by % of writes",
          series = series("writes", "worker_us", 100, 1) },
        { title = "requests a second, by requests at once (5 % writes)", log_x = true,
          series = series("connections", "per_second", 1, 1) },
        { title = "p99 in ms, by requests at once", log_x = true, log_y = true,
          series = series("connections", "p99", 1, 0.001) },
    })
end

local function measure(context)
    local plan = context.quick and QUICK or FULL
    local names = site.candidates { "redis", "shdict", "mlcache", "tandem" }
    local rows, result = {}, {}
    server.start(context.scratch)
    for round = 1, plan.rounds do
        for turn = 1, #names do
            local name = names[(turn + round) % #names + 1]
            rows[name] = rows[name] or {}
            run(context, name, plan, round, rows[name])
        end
    end
    for _, name in ipairs(names) do
        result[name] = {}
        for i, of in ipairs(loads_of(plan)) do
            local row = numbers.medians(rows[name][i], FIELDS)
            row.by, row.at = of.by, of.at
            result[name][i] = row
            say(site.TITLES[name], of, row)
        end
    end
    draw(context, names, result)
    return result
end

return { needs = site.NEEDS, run = measure }
