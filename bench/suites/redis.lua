--- Misses in memory that Redis answers, beside lua-resty-redis with keepalive, a handler that does
-- nothing, and, where it is installed, memcached by its own protocol, as a yardstick: CPU time a
-- request of the worker (all its threads) and of the server, throughput, latency.

local json = require "cjson"

local clock = require "lib.clock"
local nginx = require "lib.nginx"
local numbers = require "lib.numbers"
local ports = require "lib.ports"
local report = require "lib.report"
local shell = require "lib.shell"

local CONF = [[
%s
daemon on;
master_process on;
user root;
worker_processes 1;
error_log %s/site.log error;
pid %s/site.pid;
events { worker_connections 4096; }
http {
    access_log off;
    keepalive_requests 10000000;
    client_body_temp_path %s/body;
    proxy_temp_path %s/proxy;
    fastcgi_temp_path %s/fastcgi;
    uwsgi_temp_path %s/uwsgi;
    scgi_temp_path %s/scgi;
    lua_package_path "%s/?.lua;%s/../lua/?.lua;;";
    init_by_lua_block { require("redis.site").init(%d, %d, %d) }
    server {
        listen 127.0.0.1:%d backlog=1024;
        location = /empty { content_by_lua_block { require("redis.site").empty() } }
        location = /tandem { content_by_lua_block { require("redis.site").tandem() } }
        location = /peer { content_by_lua_block { require("redis.site").peer() } }
        location = /memcached { content_by_lua_block { require("redis.site").memcached() } }
        location = /fill { content_by_lua_block { require("redis.site").fill() } }
        location = /pid { content_by_lua_block { require("redis.site").pid() } }
    }
}
]]

local function await(what, fn)
    for _ = 1, 200 do
        local value = fn()
        if value then
            return value
        end
        os.execute("sleep 0.02")
    end
    error(what .. " does not come up")
end

local function start_redis(context)
    local port, f = ports.free(), context.scratch
    os.execute(string.format("redis-server --port %d --bind 127.0.0.1 --save '' --appendonly no "
        .. "--enable-debug-command yes --daemonize yes --dir %s --pidfile %s/redis.pid "
        .. "--logfile %s/redis.log >/dev/null", port, f, f, f))
    await("redis-server", function()
        return shell.output("redis-cli -p %d ping 2>/dev/null", port):match("PONG")
    end)
    shell.output("redis-cli -p %d debug populate 500000 bench:key 100", port)
    return { port = port, pid = assert(tonumber(nginx.read_file(f .. "/redis.pid"))) }
end

-- nil: it is not installed.
local function start_memcached(context)
    if shell.output("command -v memcached") == "" then
        return nil
    end
    local port, path = ports.free(), context.scratch .. "/memcached.pid"
    os.execute(("memcached -l 127.0.0.1 -p %d -U 0 -m 256 -c 2048 -t 1 -u root -d -P %s")
               :format(port, path))
    return { port = port, pid = await("memcached", function()
        return tonumber(nginx.read_file(path) or "")
    end) }
end

local function start_proxy(context, port, microseconds)
    local f = context.scratch
    if not nginx.read_file(context.build .. "/bench/delay") then
        error(context.build .. "/bench/delay is not there: make bench builds it")
    end
    os.execute(string.format("%s/bench/delay %d %d >%s/delay.port 2>/dev/null & "
                             .. "echo $! >%s/delay.pid", context.build, port, microseconds, f, f))
    return await("the delaying proxy", function()
        return tonumber(nginx.read_file(context.scratch .. "/delay.port") or "")
    end)
end

local function stop(context, name)
    local path = string.format("%s/%s.pid", context.scratch, name)
    local pid = tonumber(nginx.read_file(path) or "")
    if pid then
        os.execute(string.format("kill %d; while kill -0 %d 2>/dev/null; do sleep 0.02; done", pid,
                                 pid))
        os.remove(path)
    end
end

local function start_site(context, redis_port, proxy_port, memcached)
    local port, f, b = ports.free(), context.scratch, context.bench
    nginx.write_file(f .. "/site.conf", string.format(
        CONF, nginx.modules(), f, f, f, f, f, f, f, b, b, redis_port, proxy_port,
        memcached and memcached.port or 0, port))
    os.execute(string.format("%s -p %s -c %s/site.conf 2>>%s/output", os.getenv("NGINX") or "nginx",
                             f, f, f))
    local pid = await("nginx", function()
        return tonumber(shell.output("curl -s http://127.0.0.1:%d/pid", port))
    end)
    if memcached then
        local said = shell.output("curl -s http://127.0.0.1:%d/fill", port)
        assert(said:match("^VERSION"), said)
    end
    return { port = port, pid = pid }
end

local function load(context, site, behind, handler, connections, seconds)
    local worker, server = clock.of(site.pid), clock.of(behind.pid)
    local text = shell.output("wrk -t 1 -c %d -d %ds -s %s/redis/latency.lua "
                           .. "http://127.0.0.1:%d/%s", connections, seconds, context.bench,
                           site.port, handler)
    local found = assert(text:match("{.*}"), text)
    local row = json.decode(found)
    row.worker_us = (clock.of(site.pid) - worker) / row.requests * 1e6
    row.redis_us = (clock.of(behind.pid) - server) / row.requests * 1e6
    row.per_second = row.requests / row.microseconds * 1e6
    if row.bad > 0 then
        error(string.format("%s: %d of %d requests failed: %s", handler, row.bad, row.requests,
                            nginx.read_file(context.scratch .. "/site.log")))
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
        result[name] = {}
        for _, field in ipairs(FIELDS) do
            local values = {}
            for i, row in ipairs(list) do
                values[i] = row[field]
            end
            result[name][field] = numbers.median(values)
        end
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
    if not memcached then
        report.say("  memcached is not installed: not beside it (bench/deps)")
    end
    local rounds, seconds = context.quick and 1 or 3, context.quick and 1 or 2
    local result = {}
    local counts = context.quick and { 1, 50 } or { 1, 50, 500 }

    local site = start_site(context, redis.port, redis.port, memcached)
    for _, connections in ipairs(counts) do
        local r = measure(context, site, handlers, connections, rounds, seconds)
        say("loopback", connections, handlers, r)
        if connections == 50 then
            targets("Redis, 50 at once", r)
        end
        result["loopback " .. connections] = r
    end
    stop(context, "site")

    local proxy = start_proxy(context, redis.port, 1000)
    site = start_site(context, redis.port, proxy)
    handlers = handlers_of(redis)
    for _, connections in ipairs(counts) do
        local r = measure(context, site, handlers, connections, rounds, seconds)
        say("1 ms away", connections, handlers, r)
        result["1 ms away " .. connections] = r
    end
    return result
end

return function(context)
    for _, program in ipairs { "wrk", "redis-server", "redis-cli", "curl" } do
        if shell.output("command -v %s", program) == "" then
            report.say("  %s is not installed: skipped (bench/deps)", program)
            return nil
        end
    end
    if not package.searchpath("nginx.redis", package.path) then
        report.say("  lua-resty-redis (Debian's lua-nginx-redis) is not installed: skipped (bench/deps)")
        return nil
    end
    local ok, result = pcall(run, context)
    for _, name in ipairs { "site", "delay", "redis", "memcached" } do
        stop(context, name)
    end
    if not ok then
        error(result, 0)
    end
    return result
end
