--- An iterator over all keys, for more of them than one wants in a table: page by page, Redis by
-- SCAN first, then what memory has beside that.
--
-- @module resty.tandem.scan

local ffi = require "ffi"

local C = require("resty.tandem.lib").C
local arguments = require "resty.tandem.arguments"
local host = require "resty.tandem.host"
local items = require "resty.tandem.items"
local outcome = require "resty.tandem.outcome"
local pending = require "resty.tandem.pending"
local seen = require "resty.tandem.seen"

local error = error

local is_reserved = arguments.is_reserved
local not_open = arguments.not_open

local OK = C.TANDEM_OK
local PENDING = C.TANDEM_PENDING
local MORE = C.TANDEM_MORE

local MOST_SEEN = 1048576
local PAGE_BYTES = 16384 -- of keys, some 1000

local result = ffi.new "tandem_result"

-- -- Pages ---------------------------------------------------------------------------------------

-- Puts the keys of a page that were not seen yet into state.page, leaving out the first items.
local function fill(state, bytes, length, skip)
    local page, n = state.page, 0
    items.each(bytes, length, function(key)
        if skip > 0 then
            skip = skip - 1
        elseif not is_reserved(key) and seen.first(state.seen, key) then
            n = n + 1
            page[n] = key
        end
    end)
    state.at, state.n = 0, n
end

local function turn_redis(state)
    local self, pattern = state.cache, state.pattern
    if not host.may_wait() then
        return nil, outcome.no_wait()
    end
    local status = C.tandem_scan(self.handle, state.cursor, #state.cursor, pattern,
                                 pattern and #pattern or 0, 0, result)
    if status ~= PENDING then
        return nil, outcome.read_error(status, result)
    end
    local done = pending.finish(self, result.ticket)
    if done.status ~= OK then
        return nil, done.error
    end
    items.each(done.bytes, #done.bytes, function(cursor)
        state.cursor = cursor
        return true
    end)
    fill(state, done.bytes, #done.bytes, 1)
    return state.cursor == "0" and "memory" or "redis"
end

local function turn_memory(state)
    local handle, pattern = state.cache.handle, state.pattern
    local status = C.tandem_keys(handle, state.place, pattern, pattern and #pattern or 0,
                                 state.room, PAGE_BYTES, result)
    if status ~= OK and status ~= MORE then
        return nil, outcome.message(result)
    end
    fill(state, state.room, result.length, 0)
    state.since = host.breathe(state.since)
    return status == OK and "over" or "memory"
end

-- -- The method ----------------------------------------------------------------------------------

local function next_key(state)
    while state.at == state.n do
        if state.stage == "over" then
            return nil
        elseif not state.cache.handle then
            error(not_open(state.cache), 2)
        end
        local turn = state.stage == "redis" and turn_redis or turn_memory
        local stage, err = turn(state)
        state.stage = stage or "over"
        if not stage then
            return false, err
        end
    end
    state.at = state.at + 1
    return state.page[state.at]
end

--- An iterator over the keys of both tiers: for key, err in cache:scan() do ... end.
---
--- It holds a page of them, and some 20 bytes for each that it gave.  A key that is there all the
--- time comes; one that is set or deleted meanwhile may come or not.  None comes twice, as long as
--- there are no more than a million (2^20); of more, those after the first million may.
---
--- Returns a function that answers the next key; nil after the last; or once false, err, and nil
--- from then on.
---@param self tandem.cache
---@param pattern string? a Redis glob on the key without prefix; default: all
---@return fun(): string|false|nil, string? next_key
return function(self, pattern)
    if not self.handle then
        error(not_open(self), 2)
    end
    local problem = pattern ~= nil and arguments.glob(pattern, "pattern") or nil
    if problem then
        error(problem, 2)
    end

    local state = {
        cache = self,
        pattern = pattern,
        stage = self.has_redis and "redis" or "memory",
        cursor = "0",                       -- in Redis
        place = ffi.new "double[1]",        -- in memory
        room = ffi.new("char[?]", PAGE_BYTES),
        page = {}, at = 0, n = 0,
        seen = seen.new(MOST_SEEN),
        since = C.tandem_now_ms(),
    }
    return function()
        return next_key(state)
    end
end
