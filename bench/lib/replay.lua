--- Replays a trace through the public interface of a cache.
--
-- A cache that holds exactly so many objects: all entries have the same length, and the segment is
-- the smallest whose shards' capacities hold their part of them.  Where so few would be held that
-- one shard had hardly any, several copies of the trace run side by side, each with keys of its own
-- and in step with the others, in a cache that many times as large: what a copy finds is what the
-- trace alone would find in a cache that is not split into shards.

local _M = {}

local LEAST = 600 -- objects held by a segment of four shards
local KEY, HEAD, UNIT = 24, 24, 8
local FILLER = string.rep("0123456789abcdef", 2048)

local opened = 0

local function open(tandem, bytes)
    opened = opened + 1
    return assert(tandem.new("replay" .. opened, { memory = bytes, near = false }))
end

local function per_shard(tandem, bytes)
    local cache = open(tandem, bytes)
    local memory = cache:stats().memory
    cache:close()
    return memory.capacity_bytes / memory.shards, memory.shards
end

-- The smallest entry, of 160 bytes or more, of which the smallest segment does not hold too many.
local function entry_of(tandem, objects)
    local capacity, shards = per_shard(tandem, 256 * 4096)
    return math.max(160, math.ceil(capacity / math.ceil(objects / shards) / UNIT) * UNIT)
end

--- A cache that holds so many objects, and the length of their values.
-- @return cache, value length, objects that it holds
function _M.cache_of(tandem, objects)
    local entry = entry_of(tandem, objects)
    local low, high = 256, math.ceil(objects * (entry + 60) / 4096) + 256 -- in pages of 4096 bytes
    local capacity, shards
    while low < high do
        local middle = math.floor((low + high) / 2)
        capacity, shards = per_shard(tandem, middle * 4096)
        if math.floor(capacity / entry) * shards >= objects then
            high = middle
        else
            low = middle + 1
        end
    end
    capacity, shards = per_shard(tandem, low * 4096)
    return open(tandem, low * 4096), entry - HEAD - KEY, math.floor(capacity / entry) * shards
end

--- How many copies of a trace to run for a capacity.
function _M.copies(objects)
    return math.max(1, math.ceil(LEAST / objects))
end

local function keys_of(trace, copy)
    local keys, texts = {}, trace.texts
    for i = 1, trace.unique do
        local text = texts[i] .. "." .. copy
        keys[i] = string.rep("0", KEY - #text) .. text
    end
    return keys
end

-- In one function for each cache: loops are compiled for what they call.
local LOOP = [[
local cache, order, requests, keys, copies, value = ...
local misses = 0
for i = 0, requests - 1 do
    for copy = 1, copies do
        local key = keys[copy][order[i] ]
        if not cache:get(key) then
            misses = misses + 1
            if not cache:set(key, value) then
                error("a set failed")
            end
        end
    end
end
return misses
]]

--- Replays the first requests of a trace, in so many copies.
-- @return the miss ratio
function _M.run(cache, trace, copies, value_length, requests)
    local keys = {}
    requests = math.min(requests or trace.requests, trace.requests)
    for copy = 1, copies do
        keys[copy] = keys_of(trace, copy)
    end
    local value = string.sub(FILLER, 1, value_length)
    local misses = assert(loadstring(LOOP))(cache, trace.order, requests, keys, copies, value)
    return misses / requests / copies
end

return _M
