--- What others change in Redis: how soon memory of a host has dropped it, and what it costs Redis
-- and the host to be told.

local report = require "lib.report"
local server = require "lib.server"

local function numbers_of(text)
    local list = {}
    for number in text:gmatch("%S+") do
        list[#list + 1] = tonumber(number)
    end
    return list
end

local function run(context)
    local result = { delay = {}, redis = {}, host = {} }
    server.start(context.scratch)
    local pipe = assert(io.popen(string.format("%s/bench/coherence %s/redis.sock %d %d",
        context.build, context.scratch, context.quick and 300 or 10000,
        context.quick and 3000 or 100000)))
    for line in pipe:lines() do
        local what, which, rest = line:match("^(%S+) (%S+) ?(.*)$")
        local n = numbers_of(rest)
        if what == "delay" then
            result.delay[which] = { p50 = n[1], p99 = n[2], p999 = n[3], worst = n[4] }
            report.say("  gone after an acknowledged write, %s: p50 %.0f, p99 %.0f, p99.9 %.0f, "
                       .. "worst %.0f us", which, n[1], n[2], n[3], n[4])
            report.target("foreign write to gone from memory, p99 in ms, " .. which, n[2] / 1000, 2,
                          true)
        elseif what == "redis" then
            local shape = rest:match("^%S+")
            local us, bytes = rest:match(" (%S+) (%S+)$")
            result.redis[which .. " " .. shape] = { us = tonumber(us), bytes = tonumber(bytes) }
            report.say("  Redis, %3s links, %-6s %7.2f us CPU and %6.0f bytes sent a write", which,
                       shape, us, bytes)
        elseif what == "host" then
            result.host[which] = n[1]
            report.say("  a process with a link, %-6s %5.2f us CPU a key", which, n[1])
        elseif what == "own" then
            result.own = { hits = tonumber(which), verifies = n[1] }
            report.say("  own writes: %.2f %% hits in memory, %.2f read back", which, n[1])
            report.target("gets after an own set that memory does not answer, %", 100 - which, 1, true)
        end
    end
    assert(pipe:close(), "bench/coherence failed")
    return result
end

return { needs = { "redis-server", "bench/coherence" }, run = run }
