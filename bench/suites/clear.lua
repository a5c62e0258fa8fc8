--- Whether clear and delete_by_pattern of a million keys in both tiers disturb others: the latency
-- of requests to the same worker that hit memory, meanwhile and otherwise.

local host = require "lib.host"
local ports = require "lib.ports"
local report = require "lib.report"
local server = require "lib.server"
local wrk = require "lib.wrk"

local CONNECTIONS = 8

local INIT = [[
    cache = assert(require("resty.tandem").new("large", {
        memory = "512m", timeout = 5, max_stale = 10, redis = "unix://%s/redis.sock",
    }))
]]

local SERVER = [[
    location = /hit { content_by_lua_block {
        ngx.print(cache:get("hot") or cache:set("hot", "value") and "")
    } }
    location = /fill { content_by_lua_block {
        local n = tonumber(ngx.var.arg_n)
        for from = 1, n, 1000 do
            local values = {}
            for i = from, from + 999 do
                values[(i % 2 == 0 and "even:" or "odd:") .. i] = "value"
            end
            assert(cache:set_multi(values))
        end
        ngx.print(cache:stats().entries)
    } }
    location = /clear { content_by_lua_block {
        ngx.update_time()
        local began = ngx.now()
        local done, err = cache[ngx.var.arg_how](cache, ngx.var.arg_pattern)
        ngx.update_time()
        ngx.print(done or err, " ", ngx.now() - began)
    } }
]]

-- Requests that hit memory: their p99 in ms, and how many a second.
local function load(context, running, seconds)
    local row = wrk.run(context.bench .. "/redis/latency.lua", CONNECTIONS, seconds,
                        "http://127.0.0.1:" .. running.port .. "/hit")
    return row.p99 / 1000, row.per_second
end

local function during(context, running, how, seconds)
    local pipe = assert(io.popen(("curl -s --unix-socket %s/http.sock 'http://host/clear?%s'")
                                 :format(running.folder, how)))
    local worst, rate = load(context, running, seconds)
    local said = pipe:read("*a")
    pipe:close()
    local took = tonumber(said:match("^%S+ ([%d.]+)$"))
    assert(took and took > seconds, said .. ": it was over too early")
    return worst, rate, took
end

local function measure(context)
    local keys, seconds = 1000000, 1
    if context.quick then
        keys, seconds = 100000, 0.1
    end
    local result = {}
    server.start(context.scratch)
    local running = host.start(context, "host", {
        workers = 1, init = INIT:format(context.scratch), server = SERVER, port = ports.free(),
    })
    for _, call in ipairs { { "clear", "how=clear" },
                            { "delete_by_pattern", "how=delete_by_pattern&pattern=odd:*" } } do
        local filled = tonumber(host.get(running, "/fill?n=" .. keys))
        local idle_ms, idle_rate = load(context, running, seconds)
        local busy_ms, busy_rate, took = during(context, running, call[2], seconds)
        report.say("  %s, %d entries, %.1f s: p99 %.2f ms at %.0f requests a second; idle %.2f"
                   .. " at %.0f", call[1], filled, took, busy_ms, busy_rate, idle_ms, idle_rate)
        result[call[1]] = { entries = filled, seconds = took, p99_ms = busy_ms,
                            idle_p99_ms = idle_ms, rate = busy_rate, idle_rate = idle_rate }
        report.target("p99 of others meanwhile, ms: " .. call[1], busy_ms, 10, true)
    end
    return result
end

return { needs = { "nginx", "redis-server", "wrk", "curl" }, run = measure }
