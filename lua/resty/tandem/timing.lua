--- When a value ends, and when it is made anew before that: arithmetic only.  What time it is, and
-- what chance says, are arguments.

local floor = math.floor
local huge = math.huge
local log = math.log

local WEIGHT = 0.25 -- of the newest of the durations that are averaged

local _M = {}

--- A TTL shortened by chance, so that values which were made together do not end together.
-- @param ttl_ms 0: for ever, and stays so
-- @param fraction of the TTL, 0 to 1, that may go
-- @param random from 0 up to, but not including, 1
-- @return whole milliseconds, at least 1
function _M.jitter(ttl_ms, fraction, random)
    if ttl_ms == 0 or fraction == 0 then
        return ttl_ms
    end
    local ms = floor(ttl_ms * (1 - fraction * random) + 0.5)
    return ms > 1 and ms or 1
end

--- How long before its end a value is to be made anew: XFetch (Vattani, Chierichetti, Lowenstein:
-- Optimal Probabilistic Cache Stampede Prevention, VLDB 2015).  The longer the making takes, the
-- earlier; with every caller drawing for itself, the first of many draws a long time and most a
-- short one.
-- @param load_ms how long making it takes
-- @param beta 1: as good as can be; more: earlier
-- @param random from 0 up to, but not including, 1
function _M.lead(load_ms, beta, random)
    local chance = 1 - random
    return chance > 0 and -load_ms * beta * log(chance) or huge
end

--- A moving average: what it is after one more sample.
-- @param average nil before the first
function _M.average(average, sample)
    return average and average + (sample - average) * WEIGHT or sample
end

return _M
