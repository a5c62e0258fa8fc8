--- Methods that store and delete many keys: with a Redis one pipeline, in memory only with the lock
-- of each shard taken once.
--
-- Arguments are checked, and values encoded, before the first operation: what raises has done
-- nothing.
--
-- @module resty.tandem.many_changes

local ffi = require "ffi"

local C = require("resty.tandem.lib").C
local arguments = require "resty.tandem.arguments"
local each = require "resty.tandem.each"
local host = require "resty.tandem.host"
local many = require "resty.tandem.many"
local outcome = require "resty.tandem.outcome"
local text = require "resty.tandem.text"

local distinct = many.distinct
local error = error
local gsub = string.gsub
local min = math.min
local not_open = arguments.not_open
local result = many.result
local run = many.run
local some_failed = many.some_failed
local type = type

local OK = C.TANDEM_OK
local MISS = C.TANDEM_MISS
local DEGRADED = C.TANDEM_DEGRADED

local CHUNK = 1024 -- keys in one call

local _M = {}

-- -- In memory only ------------------------------------------------------------------------------

-- Has C do something to keys first to last of a list, with the lock of each shard taken once.
-- values: an array of strings, or nil.  Returns the items, and what went wrong with the first.
local function do_many(self, list, values, first, last, ms)
    local count = last - first + 1
    local items = ffi.new("tandem_item[?]", count)
    for i = 0, count - 1 do
        local item, key, value = items[i], list[first + i], values and values[first + i]
        item.key, item.key_length = key, #key
        if value then
            item.value, item.value_length = value, #value
        end
    end
    local status
    if values then
        status = C.tandem_set_many(self.handle, items, count, ms, result)
    else
        status = C.tandem_delete_many(self.handle, items, count, result)
    end
    return items, outcome.message(result), status
end

-- Returns how many were stored or were there, how many failed, and why the first did.
local function change_in_memory(self, list, values, ms)
    local done, failed, first = 0, 0, nil
    for from = 1, #list, CHUNK do
        local to = min(from + CHUNK - 1, #list)
        local items, err, whole = do_many(self, list, values, from, to, ms)
        for i = 0, to - from do
            local status = whole == OK and items[i].status or whole
            if status == OK then
                done = done + 1
            elseif status ~= MISS then
                failed, first = failed + 1, first or err
            end
        end
    end
    return done, failed, first
end

-- -- Writing -------------------------------------------------------------------------------------

-- Checks and encodes.  Returns the keys and their bytes, two arrays; or nil, the sentence, and true
-- when it is the caller's mistake.
local function encoded(self, tbl)
    if type(tbl) ~= "table" then
        return nil, "tbl must be a table of keys and values, got " .. text.show(tbl), true
    end
    local list, bytes, n = {}, {}, 0
    for key, value in each(tbl) do
        local problem = arguments.key(self, key, "each key of tbl")
        if problem then
            return nil, problem, true
        end
        local encoded_value, err, misuse = self.encode(value)
        if not encoded_value then
            return nil, gsub(err, "^value", function()
                return 'the value of key "' .. text.shorten(key) .. '"'
            end), misuse
        end
        n = n + 1
        list[n], bytes[n] = key, encoded_value
    end
    return list, bytes
end

--- Stores many values, in one pipeline.
---
--- Returns true; or true and why Redis has not got some of them yet ("queued: ...",
--- "not in Redis: ..."); or nil, err when some could not be stored: the others are.
---@param self tandem.cache
---@param tbl table<string, any> key -> value
---@param ttl number? seconds, for all of them; default: the option `ttl`
---@return true? ok
---@return string? note
function _M.set_multi(self, tbl, ttl)
    local handle = self.handle
    if not handle then
        error(not_open(self), 2)
    end
    local list, bytes, misuse = encoded(self, tbl)
    if not list then
        if misuse then
            error(bytes, 2)
        end
        return nil, bytes
    end
    local ms = self.ttl_ms
    if ttl ~= nil then
        local problem
        ms, problem = arguments.ttl(ttl)
        if problem then
            error(problem, 2)
        end
    end
    local flags = self.flags or host.write_flags()
    if not flags then
        return nil, outcome.no_wait()
    end

    if not self.has_redis then
        local _, failed, first = change_in_memory(self, list, bytes, ms)
        if failed > 0 then
            return nil, some_failed(failed, #list, "could not be stored", first)
        end
        return true, nil
    end

    local outcomes = run(self, #list, function(i, cork)
        local key, value = list[i], bytes[i]
        return C.tandem_set(handle, key, #key, value, #value, ms, flags + cork, result)
    end)

    local failed, first, note = 0, nil, nil
    for i = 1, #list do
        local ok, err = outcome.written(self, outcomes[i].status, outcomes[i].error, flags)
        if not ok then
            failed, first = failed + 1, first or err
        elseif not note or outcomes[i].status == DEGRADED then
            note = err
        end
    end
    if failed > 0 then
        return nil, some_failed(failed, #list, "could not be stored", first)
    end
    return true, note
end

--- Deletes many keys from both tiers, in one pipeline.
---
--- Returns how many keys either tier had; or that and why Redis has not been told yet, the count
--- then being of keys queued or gone from memory; or nil, err when some could not be deleted: the
--- others are.
---@param self tandem.cache
---@param keys string[] a key may come twice
---@return integer? count
---@return string? note
function _M.delete_multi(self, keys)
    local handle = self.handle
    if not handle then
        error(not_open(self), 2)
    end
    local problem = arguments.keys(self, keys)
    if problem then
        error(problem, 2)
    end
    local flags = self.flags or host.write_flags()
    if not flags then
        return nil, outcome.no_wait()
    end

    local list = distinct(keys)
    if not self.has_redis then
        local count, failed, first = change_in_memory(self, list)
        if failed > 0 then
            return nil, some_failed(failed, #list, "could not be deleted", first)
        end
        return count, nil
    end

    local outcomes = run(self, #list, function(i, cork)
        local key = list[i]
        return C.tandem_delete(handle, key, #key, flags + cork, result)
    end)

    local count, failed, first, note = 0, 0, nil, nil
    for i = 1, #list do
        local status = outcomes[i].status
        if status ~= MISS then
            local ok, err = outcome.written(self, status, outcomes[i].error, flags)
            if not ok then
                failed, first = failed + 1, first or err
            else
                count = count + 1
                note = (status == DEGRADED or not note) and err or note
            end
        end
    end
    if failed > 0 then
        return nil, some_failed(failed, #list, "could not be deleted", first)
    end
    return count, note
end

return _M
