--- A site end to end: an nginx of two workers, wrk, and the caches one after the other in front of
-- a database that takes 20 ms.  Each time nginx and Redis begin empty, are filled and warmed up.

local json = require "cjson"

local clock = require "lib.clock"
local host = require "lib.host"
local nginx = require "lib.nginx"
local numbers = require "lib.numbers"
local plot = require "lib.plot"
local ports = require "lib.ports"
local report = require "lib.report"
local server = require "lib.server"
local shell = require "lib.shell"

local CONNECTIONS, MEMORY, TTL = 50, "128m", 120

local TITLES = {
    none = "no cache", redis = "lua-resty-redis", shdict = "ngx.shared.DICT",
    mlcache = "lua-resty-mlcache", tandem = "tandem", stale = "tandem, stale_ttl",
}
local FIELDS = { "per_second", "p50", "p99", "p999", "worker_us", "commands", "loads" }

local HTTP = [[
    lua_shared_dict versions 8m;
    lua_shared_dict counts 64k;
    lua_shared_dict documents %s;
    lua_shared_dict ipc 8m;
    keepalive_requests 10000000;
]]

local INIT = [[
        require("e2e.site").init("%s", {
            redis = "%s/redis.sock", ttl = %d, memory = "%s", keys = %d,
        })
    ]]

local SERVER = [[
    location ~ ^/documents/(?<id>\d+)$ { content_by_lua_block { require("e2e.site").serve() } }
    location = /fill { content_by_lua_block { require("e2e.site").fill() } }
    location = /loads { content_by_lua_block { require("e2e.site").loads() } }
]]

local function redis_commands(context)
    return tonumber(shell.output("redis-cli -s %s/redis.sock INFO stats", context.scratch)
                    :match("total_commands_processed:(%d+)"))
end

-- Seconds of CPU time of all workers.
local function workers_cpu(folder)
    local master = tonumber(nginx.read_file(folder .. "/pid"))
    local sum = 0
    for pid in shell.output("cat /proc/%d/task/%d/children", master, master):gmatch("%d+") do
        sum = sum + clock.of(tonumber(pid))
    end
    return sum
end

local function counts_of(context, folder)
    return { cpu = workers_cpu(folder), commands = redis_commands(context),
             loads = tonumber(host.get(folder, "/loads")) }
end

-- What is read after a write must be what was written, else there is nothing to measure.
local function check(folder, name)
    local before = json.decode(host.get(folder, "/documents/1"))
    shell.output("curl -s -X PUT --unix-socket %s/http.sock http://host/documents/1", folder)
    local after = json.decode(host.get(folder, "/documents/1"))
    assert(after.version == before.version + 1, name .. ": a write is not read")
end

local function load(context, port, keys, seconds, seed)
    local text = shell.output("wrk -t 1 -c %d -d %ds -s %s/e2e/load.lua http://127.0.0.1:%d "
                              .. "-- %d %d 2>&1", CONNECTIONS, seconds, context.bench, port, keys,
                              seed)
    local found = assert(text:match("{.*}"), text)
    return json.decode(found)
end

local function measure(context, folder, port, plan, round)
    assert(tonumber(host.get(folder, "/fill")) == plan.keys, "it cannot be filled")
    load(context, port, plan.keys, plan.warm, round)
    local before = counts_of(context, folder)
    local row = load(context, port, plan.keys, plan.seconds, round + 100)
    local after = counts_of(context, folder)
    if row.bad > 0 then
        error(("%d of %d requests failed: %s"):format(row.bad, row.requests,
              nginx.read_file(folder .. "/error.log")))
    end
    local seconds = row.microseconds / 1e6
    row.per_second = row.requests / seconds
    row.worker_us = (after.cpu - before.cpu) / row.requests * 1e6
    row.commands = (after.commands - before.commands) / row.requests
    row.loads = (after.loads - before.loads) / seconds
    return row
end

-- One candidate, once, with an nginx of its own.
local function run(context, name, plan, round)
    shell.output("redis-cli -s %s/redis.sock FLUSHALL", context.scratch)
    local port = ports.free()
    local folder = host.start(context, name .. round, {
        workers = 2, port = port, http = HTTP:format(MEMORY), server = SERVER,
        init = INIT:format(name, context.scratch, TTL, MEMORY, plan.keys),
    })
    local ok, row = pcall(function()
        check(folder, name)
        return measure(context, folder, port, plan, round)
    end)
    host.stop(folder)
    return ok and row or error(name .. ": " .. tostring(row), 0)
end

local function medians(rows)
    local result = {}
    for _, field in ipairs(FIELDS) do
        local list = {}
        for i, row in ipairs(rows) do
            list[i] = row[field]
        end
        result[field] = numbers.median(list)
    end
    return result
end

local function draw(context, names, result)
    local bars = {}
    for _, what in ipairs { { "requests a second", "per_second" }, { "p50, µs", "p50" },
                            { "worker's CPU, µs a request", "worker_us" } } do
        for _, name in ipairs(names) do
            bars[#bars + 1] = { what[1] .. ", " .. TITLES[name], result[name][what[2]], name }
        end
    end
    plot.bars(context.results .. "/e2e.svg",
              "A site with 95 % reads and 5 % writes, a database of 20 ms behind it", bars)
end

local function all(context, names, plan)
    local rows, result = {}, {}
    for round = 1, plan.rounds do
        for turn = 1, #names do
            local name = names[(turn + round) % #names + 1]
            rows[name] = rows[name] or {}
            table.insert(rows[name], run(context, name, plan, round))
        end
    end
    for _, name in ipairs(names) do
        local r = medians(rows[name])
        result[name] = r
        report.say("  %-17s %6.0f a second; p50 %6.2f ms, p99 %6.2f, p99.9 %6.2f; workers %6.1f us "
                   .. "a request; %.3f commands of Redis a request; %5.0f loads a second",
                   TITLES[name], r.per_second, r.p50 / 1000, r.p99 / 1000, r.p999 / 1000,
                   r.worker_us, r.commands, r.loads)
    end
    draw(context, names, result)
    return result
end

local function missing()
    for _, program in ipairs { "wrk", "redis-server", "redis-cli", "curl" } do
        if shell.output("command -v %s", program) == "" then
            return program .. " is not installed"
        end
    end
    if not package.searchpath("nginx.redis", package.path) then
        return "lua-resty-redis (Debian's lua-nginx-redis) is not installed"
    end
end

local function candidates()
    local names = { "none", "redis", "shdict", "tandem", "stale" }
    local path = nginx.mlcache_path() .. package.path
    for _, module in ipairs { "resty.mlcache", "resty.lock", "resty.lrucache" } do
        if not package.searchpath(module, path) then
            report.say("  lua-resty-mlcache is left out: there is no %s (MLCACHE)", module)
            return names
        end
    end
    table.insert(names, 4, "mlcache")
    return names
end

return function(context)
    local lack = missing()
    if lack then
        report.say("  %s: skipped (as root, bench/deps installs it)", lack)
        return nil
    end
    local plan = context.quick and { rounds = 1, keys = 5000, warm = 1, seconds = 1 }
        or { rounds = 3, keys = 20000, warm = 2, seconds = 5 }
    local pid = server.start(context.scratch)
    local ok, result = pcall(all, context, candidates(), plan)
    server.stop(context.scratch, pid)
    return ok and result or error(result, 0)
end
