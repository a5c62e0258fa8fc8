--- Operations on many keys: everything is queued before anything is waited for, so that Redis sees
-- one pipeline and the caller one round trip (one per 1024 keys).  And the methods that read so;
-- those that change something are in many_changes.lua.
--
-- @module resty.tandem.many

local ffi = require "ffi"

local C = require("resty.tandem.lib").C
local arguments = require "resty.tandem.arguments"
local handles = require "resty.tandem.handles"
local host = require "resty.tandem.host"
local near_table = require "resty.tandem.near"
local outcome = require "resty.tandem.outcome"
local pending = require "resty.tandem.pending"
local text = require "resty.tandem.text"
local trouble = require "resty.tandem.trouble"

local error = error
local format = string.format
local min = math.min
local str = ffi.string

local not_open = arguments.not_open

local OK = C.TANDEM_OK
local MISS = C.TANDEM_MISS
local PENDING = C.TANDEM_PENDING
local TOO_SMALL = C.TANDEM_TOO_SMALL
local CORK = C.TANDEM_CORK
local NOWAIT = C.TANDEM_NOWAIT

local CHUNK = 1024   -- operations queued at once

local _M = {}

local result = ffi.new "tandem_result"
local buffer, size = pending.room_for(65536)

-- -- Running -------------------------------------------------------------------------------------

--- Flags for reads; false where a cache with Redis must not be used.
local function read_flags(self)
    if self.flags then
        return self.flags
    end
    return host.may_wait() and 0 or host.read_flags() and NOWAIT
end
_M.read_flags = read_flags

-- What an operation that did not have to wait has said.
local function immediate(status)
    local message
    if status == TOO_SMALL then
        message = "the value is larger than a Lua string"
    elseif status ~= OK and status ~= MISS then
        message = outcome.read_error(status, result)
    end
    return { status = status, error = message, tier = result.tier }
end

local function run_chunk(self, first, last, submit, outcomes)
    local tickets, owners, n = {}, {}, 0

    for i = first, last do
        local status, done = submit(i, i < last and CORK or 0)
        if status == PENDING then
            n = n + 1
            tickets[n], owners[n] = result.ticket, i
        else
            outcomes[i] = done or immediate(status)
        end
    end
    if n == 0 then
        return
    end
    local _, err = host.wait(tickets, n, self.wait_ms)
    for j = 1, n do
        outcomes[owners[j]] = pending.take(tickets[j], err)
    end
end

--- Calls submit(i, cork) for 1 to n, of this package's modules: it starts the operation, with
-- many.result, and returns its status, and the outcome if that is there and more than the status.
-- It must neither yield nor raise, or what is corked would not be sent.
-- @return the outcomes, an array of what pending.take returns
local function run(self, n, submit)
    local core, outcomes = self.core, {}

    handles.enter(core)
    for first = 1, n, CHUNK do
        run_chunk(self, first, min(first + CHUNK - 1, n), submit, outcomes)
    end
    trouble.check(core)
    handles.leave(core)
    return outcomes
end

_M.run, _M.result = run, result

--- One sentence for those that failed; first: the first one's.
local function some_failed(failed, n, verb, first)
    return format("%d of %d keys %s: %s", failed, n, verb, first)
end
_M.some_failed = some_failed

--- The keys of an array, each once.
local function distinct(keys)
    local list, seen = {}, {}
    for i = 1, #keys do
        local key = keys[i]
        if not seen[key] then
            seen[key] = true
            list[#list + 1] = key
        end
    end
    return list
end
_M.distinct = distinct

-- -- Reading -------------------------------------------------------------------------------------

-- A hit in memory.
local function hit(into)
    local length, fresh_until = result.length, result.fresh_until
    local slot, version, epoch = result.slot, result.version, result.epoch
    return { status = OK, bytes = str(into, length), length = length, fresh_until = fresh_until,
             slot = slot, version = version, epoch = epoch }
end

local function start_get(handle, key, flags)
    local into, into_size = buffer, size
    local status = C.tandem_get(handle, key, #key, flags, into, into_size, result)

    for _ = 1, 8 do
        if status == OK then
            return status, hit(into)
        elseif status ~= TOO_SMALL then
            return status
        end
        into, into_size = pending.room_for(result.length)
        if not into then
            return status
        end
        status = C.tandem_get(handle, key, #key, flags, into, into_size, result)
    end
    return status
end

-- What the near table has of the keys goes to values; returns the others.
local function take_near(near, keys, values)
    local rest, n = {}, 0
    for i = 1, #keys do
        local key = keys[i]
        local number = near_table.find(near, key)
        if number then
            values[key] = near.values[number]
        else
            n = n + 1
            rest[n] = key
        end
    end
    return rest
end

-- The value in an outcome; or nil, err, and whether it is there and cannot be decoded.
local function value_of(self, key, done)
    local value, err = done.bytes, done.status ~= MISS and done.error or nil
    if value and self.decode then
        value, err = self.decode(value)
        if err then
            err = format('cannot decode the value of key "%s": %s', text.shorten(key), err)
            return nil, err, true
        end
    end
    if self.near and value ~= nil and done.fresh_until then
        near_table.admit(self.near, key, value, done.length, done.fresh_until, done.slot,
                         done.version, done.epoch)
    end
    return value, err
end

--- What the tiers have of keys, each of which comes once; flags: those of tandem_get.
-- @return a table: key -> value; and nil, or one: key -> what is wrong, and one: key -> true where
-- the value is there and cannot be decoded
function _M.look(self, keys, flags)
    local handle, values = self.handle, {}
    local list = self.near and take_near(self.near, keys, values) or keys
    local outcomes = run(self, #list, function(i, cork)
        return start_get(handle, list[i], flags + cork)
    end)

    local errors, undecodable
    for i = 1, #list do
        local key = list[i]
        local value, err, there = value_of(self, key, outcomes[i])
        values[key] = value
        if err then
            errors, undecodable = errors or {}, undecodable or {}
            errors[key], undecodable[key] = err, there
        end
    end
    return values, errors, undecodable
end

--- One sentence for the errors of some of keys; nil when there are none.
function _M.sum_up(keys, errors, verb)
    local failed, first = 0, nil
    for i = 1, errors and #keys or 0 do
        local err = errors[keys[i]]
        if err then
            failed, first = failed + 1, first or err
        end
    end
    return first and some_failed(failed, #keys, verb, first)
end

--- Looks many keys up, with one round trip to Redis for all that memory lacks.
---
--- Returns a table: key -> value, without the keys that do not exist; and err when some could not
--- be asked or decoded, the table then holding what is known.  nil, err in init_by_lua* with Redis.
---@param self tandem.cache
---@param keys string[] a key may come twice
---@return table<string, any>? values
---@return string? err
function _M.get_multi(self, keys)
    if not self.handle then
        error(not_open(self), 2)
    end
    local problem = arguments.keys(self, keys)
    if problem then
        error(problem, 2)
    end
    local flags = read_flags(self)
    if not flags then
        return nil, outcome.no_wait()
    end

    local all = distinct(keys)
    local values, errors = _M.look(self, all, flags)
    if errors then
        return values, _M.sum_up(all, errors, "could not be read")
    end
    return values
end

--- Which of many keys exist, with one round trip to Redis for all that memory lacks.
---
--- Returns a table: key -> true or false; and err when some could not be asked, the table then
--- lacking those.  nil, err in init_by_lua* with Redis.
---@param self tandem.cache
---@param keys string[]
---@return table<string, boolean>? there
---@return string? err
function _M.exists_multi(self, keys)
    local handle = self.handle
    if not handle then
        error(not_open(self), 2)
    end
    local problem = arguments.keys(self, keys)
    if problem then
        error(problem, 2)
    end
    local flags = read_flags(self)
    if not flags then
        return nil, outcome.no_wait()
    end

    local list = distinct(keys)
    local outcomes = run(self, #list, function(i, cork)
        local key = list[i]
        return C.tandem_exists(handle, key, #key, flags + cork, result)
    end)

    local there, failed, first = {}, 0, nil
    for i = 1, #list do
        local done = outcomes[i]
        if done.status == OK or done.status == MISS then
            there[list[i]] = done.status == OK
        else
            failed, first = failed + 1, first or done.error
        end
    end
    if failed > 0 then
        return there, some_failed(failed, #list, "could not be asked", first)
    end
    return there
end

return _M
