--- Methods on all keys: walks through memory in bounded steps, letting others run in between, and
-- through Redis page by page with SCAN.
--
-- @module resty.tandem.walk

local ffi = require "ffi"

local C = require("resty.tandem.lib").C
local arguments = require "resty.tandem.arguments"
local handles = require "resty.tandem.handles"
local host = require "resty.tandem.host"
local items = require "resty.tandem.items"
local outcome = require "resty.tandem.outcome"
local pending = require "resty.tandem.pending"
local seen = require "resty.tandem.seen"

local error = error
local for_items = items.each

local is_reserved = arguments.is_reserved
local not_open = arguments.not_open

local OK = C.TANDEM_OK
local PENDING = C.TANDEM_PENDING
local MORE = C.TANDEM_MORE
local EBUSY = C.TANDEM_EBUSY

local BUSY_TRIES = 5 -- a step waits 2 ms for a lock; so many that failed in a row are the end
local PAGE_BYTES = 16384 -- of keys, some 1000

local _M = {}

local result = ffi.new "tandem_result"

-- -- Memory --------------------------------------------------------------------------------------

-- Calls step(cursor) until the walk is over.  It returns a status, and true to end the walk early.
-- "all" or "enough"; or nil, err.
local function walk_memory(step)
    local cursor, since = ffi.new "double[1]", C.tandem_now_ms()
    local busy = 0

    while true do
        local status, enough = step(cursor)
        if enough then
            return "enough"
        elseif status == OK then
            return "all"
        elseif status == MORE then
            busy = 0
        elseif status == EBUSY and busy < BUSY_TRIES then
            busy = busy + 1
        else
            return nil, outcome.message(result)
        end
        since = host.breathe(since)
    end
end

local function remove_from_memory(handle, glob)
    local count = 0
    local ok, err = walk_memory(function(cursor)
        local status = C.tandem_remove(handle, cursor, glob, glob and #glob or 0, result)
        if status == OK or status == MORE then
            count = count + result.count
        end
        return status
    end)
    return ok and count, err
end

-- -- Redis ---------------------------------------------------------------------------------------

-- Goes through the pages of a SCAN; unlink: the keys found go.  Calls page(outcome) for each; it
-- returns the next cursor, and true to end the scan early.  True; or nil, err.
local function walk_redis(self, handle, unlink, glob, page)
    local cursor = "0"

    repeat
        local enough
        local scan = unlink and C.tandem_scan_unlink or C.tandem_scan
        local status = scan(handle, cursor, #cursor, glob, glob and #glob or 0, 0, result)
        if status ~= PENDING then
            return nil, outcome.read_error(status, result)
        end
        local done = pending.finish(self, result.ticket)
        if done.status ~= OK then
            return nil, done.error
        end
        cursor, enough = page(done)
    until cursor == "0" or enough
    return true
end

local function unlink_in_redis(self, handle, glob)
    local count = 0
    local ok, err = walk_redis(self, handle, true, glob, function(done)
        local cursor
        for_items(done.bytes, #done.bytes, function(item)
            cursor = item
            return true
        end)
        count = count + done.count
        return cursor
    end)
    return ok and count, err
end

-- -- Methods -------------------------------------------------------------------------------------

local function glob_problem(pattern)
    return pattern ~= nil and arguments.glob(pattern, "pattern") or nil
end

-- Every key of both tiers once, to take(key), until it returns true.  True; or nil, err.
local function each_key(self, handle, pattern, take)
    local room = ffi.new("char[?]", PAGE_BYTES)

    local walked, err = walk_memory(function(cursor)
        local status = C.tandem_keys(handle, cursor, pattern, pattern and #pattern or 0, room,
                                     PAGE_BYTES, result)
        if status ~= OK and status ~= MORE then
            return status
        end
        local length = result.length
        return status, for_items(room, length, take)
    end)
    if walked ~= "all" or not self.has_redis then
        return walked, err
    end
    return walk_redis(self, handle, false, pattern, function(done)
        local cursor
        local enough = for_items(done.bytes, #done.bytes, function(item)
            if not cursor then
                cursor = item
                return false
            end
            return take(item)
        end)
        return cursor, enough
    end)
end

--- The keys of both tiers, each once, in no order.
--- A key that is set or deleted meanwhile may be there or not.
---@param self tandem.cache
---@param pattern string? a Redis glob (* ? [a-z] \) on the key without prefix; default: all
---@param limit integer? at most so many
---@return string[]? list nil when there is a Redis and it cannot be asked
---@return string? err
function _M.keys(self, pattern, limit)
    local handle = self.handle
    if not handle then
        error(not_open(self), 2)
    end
    local problem = glob_problem(pattern) or arguments.count(limit, "limit")
    if problem then
        error(problem, 2)
    end
    if self.has_redis and not host.may_wait() then
        return nil, outcome.no_wait()
    end

    local list, given, n = {}, seen.new(), 0
    handles.enter(self.core)
    local ok, err = each_key(self, handle, pattern, function(key)
        if not is_reserved(key) and seen.first(given, key) then
            n = n + 1
            list[n] = key
        end
        return n == limit
    end)
    handles.leave(self.core)
    if not ok then
        return nil, err
    end
    return list
end

--- Removes all keys of this cache from both tiers: those under its prefix in Redis, nothing else.
--- With Redis away memory is emptied all the same.
---@param self tandem.cache
---@return true? ok
---@return string? err
function _M.clear(self)
    local handle = self.handle
    if not handle then
        error(not_open(self), 2)
    end
    if self.has_redis and not host.may_wait() then
        return nil, outcome.no_wait()
    end

    handles.enter(self.core)
    local ok, err = remove_from_memory(handle, nil)
    if self.has_redis then
        -- Before, so that nobody is served old values while the scan runs; after, for what was
        -- filled from keys that the scan had not come to.
        local unlinked, redis_err = unlink_in_redis(self, handle, nil)
        local again, memory_err = remove_from_memory(handle, nil)
        if not unlinked then
            ok, err = nil, redis_err
        elseif not again then
            ok, err = nil, memory_err
        end
    end
    handles.leave(self.core)
    if not ok then
        return nil, err
    end
    return true
end

--- Removes the keys that match a pattern from both tiers.  With Redis away those in memory go all
--- the same.
---@param self tandem.cache
---@param pattern string a Redis glob on the key without prefix
---@return integer? count how many keys went
---@return string? err
function _M.delete_by_pattern(self, pattern)
    local handle = self.handle
    if not handle then
        error(not_open(self), 2)
    end
    local problem = arguments.glob(pattern, "pattern")
    if problem then
        error(problem, 2)
    end
    if self.has_redis and not host.may_wait() then
        return nil, outcome.no_wait()
    end

    handles.enter(self.core)
    local in_redis, redis_err = 0, nil
    if self.has_redis then
        in_redis, redis_err = unlink_in_redis(self, handle, pattern)
    end
    -- A page's keys go from memory with it: what is left was in memory only.
    local in_memory, memory_err = remove_from_memory(handle, pattern)
    handles.leave(self.core)

    if not in_redis or not in_memory then
        return nil, redis_err or memory_err
    end
    return in_redis + in_memory
end

--- Removes expired entries from memory, whose space would otherwise be reclaimed when it is needed.
---@param self tandem.cache
---@param max integer? at most so many
---@return integer? count
---@return string? err
function _M.cleanup_expired(self, max)
    local handle = self.handle
    if not handle then
        error(not_open(self), 2)
    end
    local problem = arguments.count(max, "max")
    if problem then
        error(problem, 2)
    end

    local count = 0
    handles.enter(self.core)
    local ok, err = walk_memory(function(cursor)
        local status = C.tandem_cleanup(handle, cursor, max and max - count or 0, result)
        if status == OK or status == MORE then
            count = count + result.count
        end
        return status, count == max
    end)
    handles.leave(self.core)
    if not ok then
        return nil, err
    end
    return count
end

return _M
