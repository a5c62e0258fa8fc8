--- Methods that change a key depending on what is there.
--
-- With a Redis each is one command, or script, of Redis, and atomic over all hosts; memory then
-- drops the key.  Without one each is one operation on the shared memory, and atomic over all
-- processes of the host.  With Redis away nothing is done, whatever on_redis_error says.
--
-- @module resty.tandem.atomic

local ffi = require "ffi"

local C = require("resty.tandem.lib").C
local arguments = require "resty.tandem.arguments"
local host = require "resty.tandem.host"
local outcome = require "resty.tandem.outcome"
local pending = require "resty.tandem.pending"

local error = error

local key_problem = arguments.key
local not_open = arguments.not_open
local write_flags = host.write_flags

local OK = C.TANDEM_OK
local MISS = C.TANDEM_MISS
local PENDING = C.TANDEM_PENDING
local NOT_A_NUMBER = C.TANDEM_NOT_A_NUMBER
local INIT = C.TANDEM_INIT

local _M = {}

-- Filled and read with no yield, and nothing that allocates, in between.
local result = ffi.new "tandem_result"

-- The status in the end, its sentence, and a number if there is one.
local function settle(self, status)
    if status == OK then
        return status, nil, result.count
    elseif status == PENDING then
        local done = pending.finish(self, result.ticket)
        return done.status, done.error, done.count
    elseif status == MISS or status == NOT_A_NUMBER then
        return status
    end
    return status, outcome.message(result)
end

-- Flags for those that are never queued; nil where they would be.
local function waiting_flags(self)
    local flags = self.flags or write_flags()
    return flags == 0 and flags or nil
end

-- -- Add and replace -----------------------------------------------------------------------------

-- there: if there is such a key, else if there is none.  Raises at the line of the method's caller.
local function set_if(self, there, key, value, ttl)
    if not self.handle then
        error(not_open(self), 3)
    end
    local problem = key_problem(self, key)
    if problem then
        error(problem, 3)
    end
    local bytes, err, misuse = self.encode(value)
    if not bytes then
        if misuse then
            error(err, 3)
        end
        return nil, err
    end
    local ms = self.ttl_ms
    if ttl ~= nil then
        ms, problem = arguments.ttl(ttl)
        if problem then
            error(problem, 3)
        end
    end
    local flags = waiting_flags(self)
    if not flags then
        return nil, outcome.no_wait()
    end

    local submit = there and C.tandem_replace or C.tandem_add
    local status = submit(self.handle, key, #key, bytes, #bytes, ms, flags, result)
    status, err = settle(self, status)
    if status == OK then
        return true
    elseif status == MISS then
        return false, there and "not found" or "exists"
    end
    return nil, err
end

--- Stores a value if there is no such key.
---
--- Returns true; or false, "exists"; or nil, err.
---@param self tandem.cache
---@param key string
---@param value any what the codec takes
---@param ttl number? seconds; default: the option `ttl`
---@return boolean? ok
---@return string? err
function _M.add(self, key, value, ttl)
    local ok, err = set_if(self, false, key, value, ttl)
    if ok then
        return true
    end
    return ok, err
end

--- Stores a value if there is such a key.
---
--- Returns true; or false, "not found"; or nil, err.
---@param self tandem.cache
---@param key string
---@param value any what the codec takes
---@param ttl number? seconds; default: the option `ttl`
---@return boolean? ok
---@return string? err
function _M.replace(self, key, value, ttl)
    local ok, err = set_if(self, true, key, value, ttl)
    if ok then
        return true
    end
    return ok, err
end

-- -- Incr ----------------------------------------------------------------------------------------

--- Adds to a number.  It is held as text in decimal, whatever the codec: `get` answers that text
--- with the codec "string", and the number with "json".  The time to live of what is there stays.
---
--- Returns the sum; or nil, "not found" without init; or nil, "not a number"; or nil, err.
---@param self tandem.cache
---@param key string
---@param by number? what is added, 1 by default; whole sums are exact up to 2^53
---@param init number? what it is added to when there is no such key
---@param init_ttl number? seconds that a key made so lives; default: the option `ttl`
---@return number? sum
---@return string? err
function _M.incr(self, key, by, init, init_ttl)
    if not self.handle then
        error(not_open(self), 2)
    end
    local problem = key_problem(self, key) or arguments.number(by, "by")
        or arguments.number(init, "init")
    local ms = self.ttl_ms
    if init_ttl ~= nil and not problem then
        ms, problem = arguments.ttl(init_ttl, "init_ttl")
        if not init then
            problem = problem or "init_ttl is of no use without init"
        end
    end
    if problem then
        error(problem, 2)
    end
    local flags = waiting_flags(self)
    if not flags then
        return nil, outcome.no_wait()
    end

    if init then
        flags = INIT
    end
    local status, err, sum = settle(self, C.tandem_incr(self.handle, key, #key, by or 1, init or 0,
                                                        ms, flags, result))
    if status == OK then
        return sum
    elseif status == MISS then
        return nil, "not found"
    elseif status == NOT_A_NUMBER then
        return nil, "not a number"
    end
    return nil, err
end

-- -- Expire and touch ----------------------------------------------------------------------------

local function set_ttl(self, key, ms)
    local flags = self.flags or write_flags()
    if not flags then
        return nil, outcome.no_wait()
    end
    local status, err = settle(self, C.tandem_expire(self.handle, key, #key, ms, flags, result))
    if status == MISS then
        return false
    end
    return outcome.written(self, status, err, flags)
end

--- Gives a key another time to live, from now on.
---
--- Returns true; or true, "queued: ..." as set, when nobody knows yet whether there is such a key;
--- or false when there is none; or nil, err.
---@param self tandem.cache
---@param key string
---@param ttl number seconds; 0: it never expires
---@return boolean? ok
---@return string? note why Redis does not know yet, or what went wrong
function _M.expire(self, key, ttl)
    if not self.handle then
        error(not_open(self), 2)
    end
    local problem = key_problem(self, key)
    local ms
    if not problem then
        ms, problem = arguments.ttl(ttl)
    end
    if problem then
        error(problem, 2)
    end
    return set_ttl(self, key, ms)
end

--- Gives a key the option `ttl` anew, as if it had just been set.  Returns as expire.
---@param self tandem.cache
---@param key string
---@return boolean? ok
---@return string? note why Redis does not know yet, or what went wrong
function _M.touch(self, key)
    if not self.handle then
        error(not_open(self), 2)
    end
    local problem = key_problem(self, key)
    if problem then
        error(problem, 2)
    end
    return set_ttl(self, key, self.ttl_ms)
end

return _M
