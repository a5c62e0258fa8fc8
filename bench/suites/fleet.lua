--- What one loader for all hosts costs and saves: three nginxes of two workers each, 50 requests to
-- each at once for a key that nobody has; the loader takes 100 ms.

local crowd = require "lib.crowd"
local host = require "lib.host"
local numbers = require "lib.numbers"
local report = require "lib.report"
local server = require "lib.server"
local shell = require "lib.shell"

local HOSTS, REQUESTS, LOADER = 3, 50, 0.1

local INIT = [[
    local tandem = require "resty.tandem"
    local function open(name, lock)
        return assert(tandem.new(name, { memory = "8m", lock = lock, timeout = 5,
                                         redis = "unix://%s/redis.sock" }))
    end
    caches = { host = open("host", "host"), redis = open("redis", "redis") }
]]

local SERVER = [[
    location = /fetch { content_by_lua_block {
        ngx.update_time()
        local began = ngx.now()
        local value, err, tier = caches[ngx.var.arg_lock]:fetch(ngx.var.arg_key, function()
            ngx.sleep(%g)
            return ("v"):rep(1000)
        end)
        ngx.update_time()
        ngx.say(tier or err, " ", (ngx.now() - began) * 1000)
    } }
]]

local function commands(context)
    return tonumber(shell.output("redis-cli -s %s/redis.sock INFO stats", context.scratch)
                    :match("total_commands_processed:(%d+)"))
end

local function sum(list)
    local total = 0
    for _, n in ipairs(list) do
        total = total + n
    end
    return total
end

local function measure(context, hosts, lock)
    local loads, worst, ask = {}, {}, "lock=" .. lock .. "&key=%s"
    local keys = context.quick and 3 or 100
    for i = 1, keys do
        loads[i], worst[i] = crowd.ask(hosts, REQUESTS, ask:format(lock .. i))
    end
    local before = commands(context)
    crowd.ask(hosts, REQUESTS, ask:format(lock .. "last"))
    local result = { loads = sum(loads) / keys, median_ms = numbers.median(worst),
                     worst_ms = math.max(unpack(worst)), commands = commands(context) - before }
    report.say("  lock = %-7s %.2f loaders a key; the last of %d requests has its answer after "
               .. "%.1f ms (median of %d keys; worst %.1f); %d commands", '"' .. lock .. '":',
               result.loads, HOSTS * REQUESTS, result.median_ms, keys, result.worst_ms,
               result.commands)
    return result
end

local function compare(context)
    local hosts, result = {}, {}
    server.start(context.scratch)
    for i = 1, HOSTS do
        hosts[i] = host.start(context, "host" .. i, {
            workers = 2, init = INIT:format(context.scratch), server = SERVER:format(LOADER),
        })
    end
    os.execute("sleep 1") -- until the tracking links are up
    for _, lock in ipairs { "host", "redis" } do
        result[lock] = measure(context, hosts, lock)
    end
    report.target('loaders a key with lock = "redis"', result.redis.loads, 1, true)
    return result
end

return { needs = { "nginx", "redis-server", "redis-cli", "curl" }, run = compare }
