--- The table of counters as Lua tables.  The rows come from C: a new counter needs no change here.

local ffi = require "ffi"

local C = require("resty.tandem.lib").C
local tracking = require "resty.tandem.tracking"

local ipairs = ipairs
local str = ffi.string

local _M = {}

local rows

--- Every counter and gauge there is.
-- @return an array of { index=, tier=, name=, kind=, unit=, help= }
function _M.rows()
    if rows then
        return rows
    end
    local list, row = {}, ffi.new "tandem_metric"
    for i = 0, C.tandem_metric_count() - 1 do
        if C.tandem_metric_at(i, row) == C.TANDEM_OK then
            list[#list + 1] = {
                index = i, tier = str(row.tier), name = str(row.name), kind = str(row.kind),
                unit = str(row.unit), help = str(row.help),
            }
        end
    end
    rows = list
    return rows
end

--- The present values over all processes of the host.
-- @return a table: tier -> name -> number; each of "memory", "redis", "tracking", "fetch"
-- is there
function _M.values(handle)
    local values = { memory = {}, redis = {}, tracking = {}, fetch = {} }
    for _, row in ipairs(_M.rows()) do
        local of_tier = values[row.tier]
        if not of_tier then
            of_tier = {}
            values[row.tier] = of_tier
        end
        of_tier[row.name] = C.tandem_metric_value(handle, row.index)
    end
    return values
end

local UP = { [-1] = "none", [0] = "down", [1] = "up" }

--- stats() of a cache: what a lookup is to a user comes first, then every counter by tier.
function _M.stats(core)
    local handle = core.handle
    local stats = _M.values(handle)
    local memory, redis, fetch = stats.memory, stats.redis, stats.fetch
    local server = C.tandem_server(handle)

    redis.state = UP[C.tandem_redis_up(handle)]
    redis.server = server ~= nil and str(server) or nil
    tracking.stats(core, stats.tracking)

    -- One lookup is one hit or one miss, whichever tier answered it.  Those answered by memory as
    -- stale are also among the unanswered ones of Redis.
    local hits = memory.near_hits + memory.hits + memory.stale + redis.hits + fetch.stale
    local misses = memory.misses
    if server ~= nil then
        misses = redis.misses + math.max(0, redis.unanswered - memory.stale)
    end
    misses = misses + fetch.negative

    stats.hits, stats.hit_count = hits, hits
    stats.misses, stats.miss_count = misses, misses
    stats.avg_hit_rate = hits + misses > 0 and hits / (hits + misses) or 0
    stats.entries = memory.entries
    stats.memory_usage_bytes = memory.live_bytes
    stats.eviction_count = memory.evictions
    return stats
end

return _M
