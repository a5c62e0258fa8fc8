--- A segment as the tool's commands use it: to look into it, read-only; and, for those that change
-- something, the cache that it belongs to.

local ffi = require "ffi"

local C = require("resty.tandem.lib").C
local cache = require "resty.tandem.cache"
local fail = require "resty.tandem.tool.fail"
local find = require "resty.tandem.tool.find"
local input = require "resty.tandem.tool.input"
local items = require "resty.tandem.items"
local metrics = require "resty.tandem.metrics"
local options = require "resty.tandem.options"
local show = require "resty.tandem.tool.show"

local str = ffi.string

local OK = C.TANDEM_OK
local MISS = C.TANDEM_MISS
local MORE = C.TANDEM_MORE
local TOO_SMALL = C.TANDEM_TOO_SMALL
local EBUSY = C.TANDEM_EBUSY

local ERROR_BYTES = 1536
local PAGE_BYTES = 262144
local LOOKS = 50            -- at an entry that is written all the time
local MODERATE = 65536
local KEY_BYTES = 4096

local _M = {}
local Segment = {}
Segment.__index = Segment

local result = ffi.new "tandem_result"

--- Opens it to be looked into.  Raises when it cannot be.
-- @param words the options of the command line
function _M.open(name, words)
    local path, why = find.path(name, words.runtime_dir)
    if not path then
        fail.not_opened(why)
    end
    local out, err = ffi.new "tandem_segment *[1]", ffi.new("char[?]", ERROR_BYTES)
    local d = ffi.new "tandem_description"
    if C.tandem_segment_open(path, out, d, err, ERROR_BYTES) ~= OK then
        fail.not_opened(show.text(str(err)))
    end
    return setmetatable({
        path = path, handle = ffi.gc(out[0], C.tandem_segment_close), name = str(d.name),
        identity = str(d.identity), bytes = d.bytes, slots = d.slots, shards = d.shards,
        with_redis = d.with_redis == 1, with_tags = d.with_tags == 1,
    }, Segment)
end

-- -- Looking -------------------------------------------------------------------------------------

--- Every counter by tier, and what a lookup is to a user.
function Segment:stats()
    return metrics.sum_up(metrics.values(self.handle, C.tandem_segment_value,
                                         C.tandem_segment_buckets))
end

local TIERS = { [C.TANDEM_TIER_MEMORY] = "fresh", [C.TANDEM_TIER_STALE] = "stale",
                [C.TANDEM_TIER_NEGATIVE] = "absent" }

--- An entry: { value=, length=, state=, ttl= (seconds; nil: for ever) }; state is "fresh", "stale",
-- or "absent" when it says that there is no such key.  nil: there is no entry.
function Segment:look(key)
    local buffer, size = ffi.new("char[?]", MODERATE), MODERATE
    local status
    for _ = 1, LOOKS do
        status = C.tandem_segment_peek(self.handle, key, #key, buffer, size, result)
        if status == TOO_SMALL then
            size = result.length + MODERATE
            buffer = ffi.new("char[?]", size)
        elseif status ~= EBUSY then
            break
        end
    end
    local length, ttl, state = result.length, result.ttl, TIERS[result.tier]
    if status == MISS and not state then
        return nil
    elseif status ~= OK and status ~= MISS then
        fail.failed(str(result.error, result.error_length))
    end
    return { value = status == OK and str(buffer, length) or nil, length = length, state = state,
             ttl = ttl ~= 0 and ttl or nil }
end

local room = ffi.new("char[?]", MODERATE)

--- Reads a value to nowhere, for measuring.
function Segment:touch(key)
    C.tandem_segment_peek(self.handle, key, #key, room, MODERATE, result)
end

--- Calls each(key) for every key in memory that matches, until it returns true.
function Segment:each_key(pattern, each)
    local cursor, buffer, size = ffi.new "double[1]", ffi.new("char[?]", PAGE_BYTES), PAGE_BYTES
    local status
    repeat
        status = C.tandem_segment_keys(self.handle, cursor, pattern, pattern and #pattern or 0,
                                       buffer, size, result)
        if status ~= OK and status ~= MORE then
            fail.failed(str(result.error, result.error_length))
        end
        local length = result.length
        local enough = items.each(buffer, length, each)
    until enough or status == OK
end

local key_room = ffi.new("char[?]", KEY_BYTES)

--- The key of the entry in a slot, and its value's length; nil: none.
function Segment:key_at(slot)
    if C.tandem_segment_slot(self.handle, slot, key_room, result) == OK then
        local length, value_length = result.length, result.count
        return str(key_room, length), value_length
    end
end

local findings = ffi.new "tandem_findings"

--- What is found in a shard; nil: there is no such shard.
function Segment:verify(shard)
    if C.tandem_segment_verify(self.handle, shard, findings) == OK then
        return findings, str(findings.first)
    end
end

-- -- Changing ------------------------------------------------------------------------------------

-- The prefix that the cache puts before its keys in Redis; nil: it has none.
local function prefix_of(identity)
    local text = identity:match(' prefix="([^"]*)"')
    return text and show.bytes(text)
end

--- The cache itself: of its memory alone, or with words.redis of both tiers.  Raises when it cannot
-- be opened.
function Segment:open_cache(words)
    local opts = { near = false, runtime_dir = words.runtime_dir, tags = self.with_tags }
    if words.redis then
        if not self.with_redis then
            fail.not_opened("this cache has no Redis: leave out --redis")
        end
        opts.redis, opts.prefix = input.url(words.redis), prefix_of(self.identity)
        opts.timeout, opts.connect_timeout = words.timeout or 5, words.timeout or 5
        opts.tracking = not words.no_tracking
    end
    local checked, problem = options.check(self.name, opts)
    if not checked then
        fail.misused(problem)
    end
    checked.attach = self.path
    local object, err = cache.open(checked)
    if not object then
        fail.not_opened(show.text(err))
    end
    return object
end

return _M
