--- The table of counters as Lua tables.  The rows come from C: a new counter needs no change here.

local ffi = require "ffi"

local C = require("resty.tandem.lib").C
local tracking = require "resty.tandem.tracking"
local trouble = require "resty.tandem.trouble"

local huge = math.huge
local ipairs = ipairs
local str = ffi.string
local tonumber = tonumber

local OK = C.TANDEM_OK

local _M = {}

local rows

--- Every counter, gauge and histogram there is.
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

-- -- Histograms ---------------------------------------------------------------------------------

local bounds, counts
local sum = ffi.new "double[1]"

-- The bounds of buckets, an array whose last one is infinite.
local function find_bounds()
    bounds = {}
    repeat
        bounds[#bounds + 1] = C.tandem_bucket_bound(#bounds)
    until bounds[#bounds] == huge
    counts = ffi.new("double[?]", #bounds)
end

-- The time that this fraction of all took at most: somewhere in its bucket, as if the bucket's were
-- spread evenly.  nil: there are none, or it is in the last bucket.
local function quantile(buckets, count, fraction)
    local before, from = 0, 0
    for _, bucket in ipairs(buckets) do
        if count > 0 and bucket.count >= fraction * count then
            local share = (fraction * count - before) / (bucket.count - before)
            return bucket.le and from + (bucket.le - from) * share
        end
        before, from = bucket.count, bucket.le
    end
end

local function histogram(read_buckets, handle, index)
    if not bounds then
        find_bounds()
    end
    if read_buckets(handle, index, counts, #bounds, sum) ~= OK then
        return nil
    end
    local buckets, count = {}, 0
    for i, le in ipairs(bounds) do
        count = count + counts[i - 1]
        buckets[i] = { le = le < huge and le or nil, count = count } -- JSON has no infinity
    end
    return { count = count, sum = tonumber(sum[0]), buckets = buckets,
             p50 = quantile(buckets, count, 0.5), p99 = quantile(buckets, count, 0.99) }
end

-- -- Values --------------------------------------------------------------------------------------

--- The present values over all processes of the host.
-- @return a table: tier -> name -> number, or of a histogram a table: count=, sum= (seconds),
-- buckets= (an array of { le=, count= }, each with all that took `le` at most, the last, without
-- one, with all), p50=, p99=; each of
-- "memory", "redis", "tracking", "fetch" is there
-- @param handle what the next two read: a tandem_cache, or something else
-- @tparam[opt] function read_value, read_buckets as tandem_metric_value and tandem_metric_buckets
function _M.values(handle, read_value, read_buckets)
    read_value = read_value or C.tandem_metric_value
    read_buckets = read_buckets or C.tandem_metric_buckets
    local values = { memory = {}, redis = {}, tracking = {}, fetch = {} }
    for _, row in ipairs(_M.rows()) do
        local of_tier = values[row.tier]
        if not of_tier then
            of_tier = {}
            values[row.tier] = of_tier
        end
        of_tier[row.name] = row.kind == "histogram" and histogram(read_buckets, handle, row.index)
            or read_value(handle, row.index)
    end
    return values
end

--- Adds, to a table of values, what a lookup is to a user.
function _M.sum_up(stats)
    local memory = stats.memory
    -- One lookup is one hit or one miss, whichever tier answered it.
    local hits = memory.near_hits + memory.hits + memory.stale + stats.redis.hits
        + stats.fetch.stale
    local misses = memory.lookup_misses

    stats.hits, stats.hit_count = hits, hits
    stats.misses, stats.miss_count = misses, misses
    stats.avg_hit_rate = hits + misses > 0 and hits / (hits + misses) or 0
    stats.entries = memory.entries
    stats.memory_usage_bytes = memory.live_bytes
    stats.eviction_count = memory.evictions
    return stats
end

local UP = { [-1] = "none", [0] = "down", [1] = "up" }

--- stats() of a cache: what a lookup is to a user comes first, then every counter by tier.
function _M.stats(core)
    local handle = core.handle
    local stats = _M.values(handle)
    local server = C.tandem_server(handle)

    stats.redis.state = UP[C.tandem_redis_up(handle)]
    stats.redis.server = server ~= nil and str(server) or nil
    trouble.stats(core, stats.redis)
    tracking.stats(core, stats.tracking)
    return _M.sum_up(stats)
end

return _M
