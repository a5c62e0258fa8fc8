--- How long loaders took, by the prefix of the key: for the status page.  In this process only and
-- since it began, for each cache of so many prefixes at most, those with the slowest loads.

local largest = require "resty.tandem.largest"
local prefix_of = require "resty.tandem.prefix"

local pairs = require "resty.tandem.each"
local sub = string.sub

local MOST = 50             -- prefixes of a cache
local LONGEST = 64          -- bytes that are kept of a prefix

local _M = {}

-- Makes room for one that took so long: nil when all others have taken longer.
local function make_room(loads, ms)
    local fastest, least
    for prefix, load in pairs(loads.by_prefix) do
        if not least or load.most_ms < least then
            fastest, least = prefix, load.most_ms
        end
    end
    if least >= ms then
        return nil
    end
    loads.by_prefix[fastest] = nil
    loads.n = loads.n - 1
    return true
end

--- Notes that a loader has run, whatever came of it.
-- @param core the cache's
-- @param key what it made; of many keys the first
-- @param ms how long
function _M.note(core, key, ms)
    local loads = core.loads
    if not loads then
        loads = { n = 0, by_prefix = {} }
        core.loads = loads
    end
    local prefix = sub(prefix_of(key), 1, LONGEST)
    local load = loads.by_prefix[prefix]
    if not load then
        if loads.n >= MOST and not make_room(loads, ms) then
            return
        end
        load = { prefix = prefix, count = 0, sum_ms = 0, most_ms = 0 }
        loads.by_prefix[prefix], loads.n = load, loads.n + 1
    end
    load.count, load.sum_ms = load.count + 1, load.sum_ms + ms
    load.most_ms = ms > load.most_ms and ms or load.most_ms
end

--- The prefixes whose loads were slowest, by the slowest.
-- @return an array of { prefix=, count=, sum_ms=, most_ms= }, no more than limit
function _M.list(core, limit)
    local list = {}
    for _, load in pairs(core.loads and core.loads.by_prefix or {}) do
        list[#list + 1] = load
    end
    return largest(list, "most_ms", "prefix", limit)
end

return _M
