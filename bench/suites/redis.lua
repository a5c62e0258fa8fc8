--- Misses in memory that Redis answers, beside lua-resty-redis with keepalive, a handler that does
-- nothing, and, where it is installed, memcached by its own protocol, as a yardstick: CPU time a
-- request of the worker (all its threads) and of the server, throughput, latency.

local clock = require "lib.clock"
local files = require "lib.files"
local host = require "lib.host"
local numbers = require "lib.numbers"
local ports = require "lib.ports"
local process = require "lib.process"
local report = require "lib.report"
local server = require "lib.server"
local shell = require "lib.shell"
local wrk = require "lib.wrk"

local INIT = [[ require("redis.site").init(%d, %d, %d) ]]

local SERVER = [[
    location = /empty { content_by_lua_block { require("redis.site").empty() } }
    location = /tandem { content_by_lua_block { require("redis.site").tandem() } }
    location = /peer { content_by_lua_block { require("redis.site").peer() } }
    location = /memcached { content_by_lua_block { require("redis.site").memcached() } }
    location = /fill { content_by_lua_block { require("redis.site").fill() } }
]]

local function start_redis(context)
    local port = ports.free()
    local redis = server.start(context.scratch, port)
    shell.output("redis-cli -p %d debug populate 500000 bench:key 100", port)
    return { port = port, pid = redis.pid }
end

-- nil: it is not installed.
local function start_memcached(context)
    if shell.output("command -v memcached") == "" then
        report.say("  memcached is not installed: not beside it (bench/deps)")
        return nil
    end
    local port = ports.free()
    local started = process.start(context.scratch, "memcached",
        "memcached -l 127.0.0.1 -p %d -U 0 -m 256 -c 2048 -t 1 -u root", port)
    return { port = port, pid = started.pid }
end

-- The port of a proxy that delays each way.
local function start_proxy(context, port, microseconds)
    local proxy = process.start(context.scratch, "delay", "%s/bench/delay %d %d", context.build,
                                port, microseconds)
    return process.await(proxy, function() return tonumber(files.read(proxy.output)) end)
end

local function start_site(context, name, redis_port, proxy_port, memcached)
    local site = host.start(context, name, {
        workers = 1, port = ports.free(), server = SERVER,
        init = INIT:format(redis_port, proxy_port, memcached and memcached.port or 0),
    })
    if memcached then
        process.await(site.process, function()
            return host.get(site, "/fill"):match("^VERSION")
        end)
    end
    return site
end

local function load(context, site, behind, handler, connections, seconds)
    local pid = host.workers(site)[1]
    local worker, served = clock.of(pid), clock.of(behind.pid)
    local row = wrk.run(context.bench .. "/redis/latency.lua", connections, seconds,
                        ("http://127.0.0.1:%d/%s"):format(site.port, handler))
    row.worker_us = (clock.of(pid) - worker) / row.requests * 1e6
    row.redis_us = (clock.of(behind.pid) - served) / row.requests * 1e6
    if row.bad > 0 then
        error(string.format("%s: %d of %d requests failed: %s", handler, row.bad, row.requests,
                            files.read(site.folder .. "/error.log")))
    end
    return row
end

local FIELDS = { "worker_us", "redis_us", "per_second", "p50", "p99", "p999" }

-- What is measured, in order, and the server behind it: its CPU time counts.
local function handlers_of(redis, memcached)
    local list = { { "empty", redis }, { "peer", redis }, { "tandem", redis } }
    if memcached then
        list[#list + 1] = { "memcached", memcached }
    end
    return list
end

local function measure(context, site, handlers, connections, rounds, seconds)
    local rows, result = {}, {}
    for round = 1, rounds do
        for turn = 1, #handlers do
            local name, behind = unpack(handlers[(turn + round) % #handlers + 1])
            rows[name] = rows[name] or {}
            table.insert(rows[name], load(context, site, behind, name, connections, seconds))
        end
    end
    for name, list in pairs(rows) do
        result[name] = numbers.medians(list, FIELDS)
    end
    return result
end

local function say(title, connections, handlers, result)
    for _, handler in ipairs(handlers) do
        local r = result[handler[1]]
        report.say("  %-10s %3d at once  %-9s worker %5.1f us a request, server %5.1f; %6.0f a "
                   .. "second; p50 %6.2f ms, p99 %6.2f, p99.9 %6.2f", title, connections,
                   handler[1], r.worker_us, r.redis_us, r.per_second, r.p50 / 1000, r.p99 / 1000,
                   r.p999 / 1000)
    end
end

local function targets(title, result)
    local ours, peer, empty = result.tandem, result.peer, result.empty
    local function add(what, value, bound, why)
        report.target(title .. ": " .. what, value, bound, true, why)
    end
    add("worker's CPU time a request, against lua-resty-redis", ours.worker_us / peer.worker_us, 0.6,
        "half of it is nginx's for a request that does nothing: docs/performance.md has a profile")
    report.say("        net of the empty handler: %.3f", (ours.worker_us - empty.worker_us)
               / (peer.worker_us - empty.worker_us))
    add("Redis's CPU time a request, against lua-resty-redis", ours.redis_us / peer.redis_us, 0.35)
    add("p99, against lua-resty-redis", ours.p99 / peer.p99, 1)
end

local function run(context)
    local redis, memcached = start_redis(context), start_memcached(context)
    local handlers = handlers_of(redis, memcached)
    local rounds, seconds = context.quick and 1 or 3, context.quick and 0.3 or 2
    local result = {}
    local counts = context.quick and { 50 } or { 1, 50, 500 }

    local site = start_site(context, "loopback", redis.port, redis.port, memcached)
    for _, connections in ipairs(counts) do
        local r = measure(context, site, handlers, connections, rounds, seconds)
        say("loopback", connections, handlers, r)
        if connections == 50 then
            targets("Redis, 50 at once", r)
        end
        result["loopback " .. connections] = r
    end
    host.stop(site)

    local proxy = start_proxy(context, redis.port, 1000)
    site = start_site(context, "away", redis.port, proxy)
    handlers = handlers_of(redis)
    for _, connections in ipairs(counts) do
        local r = measure(context, site, handlers, connections, rounds, seconds)
        say("1 ms away", connections, handlers, r)
        result["1 ms away " .. connections] = r
    end
    return result
end

return {
    needs = { "nginx", "redis-server", "redis-cli", "wrk", "curl", "nginx.redis", "bench/delay" },
    run = run,
}
