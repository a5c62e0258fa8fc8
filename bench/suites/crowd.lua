--- A hundred requests at once for a key that nobody has, in an nginx of two workers: how many
-- loaders run, and how long after its end the last of those that waited has its answer.

local crowd = require "lib.crowd"
local host = require "lib.host"
local numbers = require "lib.numbers"
local report = require "lib.report"

local REQUESTS, LOADER = 100, 0.1

local INIT = [[
    cache = assert(require("resty.tandem").new("crowd", { memory = "8m" }))
    clock = require "lib.clock"
]]

local SERVER = [[
    location = /fetch { content_by_lua_block {
        local key = ngx.var.arg_key
        local value, err, tier = cache:fetch(key, function()
            ngx.sleep(%g)
            ngx.shared.ended:set(key, clock.wall())
            return ("v"):rep(1000)
        end)
        local ms = (clock.wall() - ngx.shared.ended:get(key)) * 1000
        ngx.say(tier or err, " ", ("%%.3f"):format(ms))
    } }
]]

local function measure(context)
    local running = host.start(context, "host", {
        workers = 2, init = INIT, server = SERVER:format(LOADER),
        http = "lua_shared_dict ended 1m;",
    })
    local keys, most, worst = context.quick and 5 or 100, 0, {}
    for i = 1, keys do
        local loads
        loads, worst[i] = crowd.ask({ running }, REQUESTS, "key=key" .. i)
        most = math.max(most, loads)
    end
    host.stop(running)
    local result = { loads = most, median_ms = numbers.median(worst),
                     worst_ms = math.max(unpack(worst)) }
    report.say("  %d at once: %d loader a key at most; the last has its answer %.1f ms after it "
               .. "(median of %d keys; worst %.1f)", REQUESTS, most, result.median_ms, keys,
               result.worst_ms)
    report.target("loaders a key, 100 misses at once", most, 1, true)
    report.target("the last answer after the loader, ms, 100 misses at once", result.median_ms, 5,
                  true, "curl and two workers share the processors")
    return result
end

return { needs = { "nginx", "curl" }, run = measure }
