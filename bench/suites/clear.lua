--- Whether clear and delete_by_pattern of a million keys in both tiers disturb others: the latency
-- of requests to the same worker that hit memory, meanwhile and otherwise.

local host = require "lib.host"
local ports = require "lib.ports"
local report = require "lib.report"
local server = require "lib.server"

local SECONDS = 1

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

-- p99 of requests that hit memory, in ms, and how many there were.
local function p99(port)
    local pipe = assert(io.popen(("wrk -t1 -c8 -d%d --latency http://127.0.0.1:%d/hit")
                                 :format(SECONDS, port)))
    local text = pipe:read("*a")
    pipe:close()
    local number, unit = text:match("99%%%s+([%d.]+)(%a+)")
    local scale = { us = 0.001, ms = 1, s = 1000 }
    return tonumber(number) * scale[unit], tonumber(text:match("Requests/sec:%s+([%d.]+)"))
end

local function during(folder, port, how)
    local pipe = assert(io.popen(("curl -s --unix-socket %s/http.sock 'http://host/clear?%s'")
                                 :format(folder, how)))
    local worst, rate = p99(port)
    local said = pipe:read("*a")
    local done, seconds = said:match("^(%S+) ([%d.]+)$")
    pipe:close()
    assert(done and tonumber(seconds) > SECONDS, said .. ": it was over too early")
    return worst, rate, tonumber(seconds)
end

return function(context)
    if os.execute("command -v wrk >/dev/null && command -v curl >/dev/null") ~= 0
       or not server.is_installed() then
        report.say("  wrk, curl or redis-server is missing: bench/deps")
        return nil
    end
    local keys = 1000000
    local port = ports.free()
    local pid, result, folder = server.start(context.scratch), {}, nil
    local ok, err = pcall(function()
        folder = host.start(context, "host", {
            workers = 1, init = INIT:format(context.scratch), server = SERVER, port = port,
        })
        for _, how in ipairs { "how=clear", "how=delete_by_pattern&pattern=odd:*" } do
            local filled = tonumber(host.get(folder, "/fill?n=" .. keys))
            local idle_ms, idle_rate = p99(port)
            local busy_ms, busy_rate, seconds = during(folder, port, how)
            report.say("  %s, %d entries, %.1f s: p99 %.2f ms at %.0f requests a second; idle %.2f"
                       .. " at %.0f", how, filled, seconds, busy_ms, busy_rate, idle_ms, idle_rate)
            result[#result + 1] = { how = how, entries = filled, seconds = seconds,
                                    p99_ms = busy_ms, idle_p99_ms = idle_ms,
                                    rate = busy_rate, idle_rate = idle_rate }
            report.target("p99 of others meanwhile, ms", busy_ms, 10, true)
        end
    end)
    if folder then
        host.stop(folder)
    end
    server.stop(context.scratch, pid)
    return assert(ok, err) and result
end
