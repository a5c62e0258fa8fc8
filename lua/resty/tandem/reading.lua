--- Reading one key from both tiers: what get and fetch have in common.

local ffi = require "ffi"

local C = require("resty.tandem.lib").C
local arguments = require "resty.tandem.arguments"
local flush = require "resty.tandem.host.flush"
local host = require "resty.tandem.host"
local near_table = require "resty.tandem.near"
local outcome = require "resty.tandem.outcome"
local pending = require "resty.tandem.pending"
local text = require "resty.tandem.text"

local admit = near_table.admit
local error = error
local format = string.format
local soon = flush.soon
local str = ffi.string

local OK = C.TANDEM_OK
local MISS = C.TANDEM_MISS
local PENDING = C.TANDEM_PENDING
local TOO_SMALL = C.TANDEM_TOO_SMALL
local EINVAL = C.TANDEM_EINVAL

local GROWTHS = 8 -- how often a value may outgrow the buffer made for it
local KEPT = 1024 * 1024

local _M = {}

-- Filled and read with no yield, and nothing that allocates, in between: a __gc of the application
-- that uses the cache would fill them anew.
local result = ffi.new "tandem_result"
local buffer, size = pending.room_for(1)

--- Waits for a read, where that is possible.
-- @return status; err; and what pending.take returned
function _M.finish(self, ticket)
    if not host.may_wait() then
        C.tandem_abandon(host.mailbox(), ticket)
        return nil, outcome.no_wait()
    end
    local done = pending.finish(self, ticket)
    return done.status, done.error, done
end

-- Everything but a hit in memory that fits the buffer.
-- Returns the bytes, nil, tier and seconds left; or nil and, if it is not a miss, err.
local function read_on(self, key, flags, status)
    local handle = self.handle
    local into = buffer

    for _ = 1, GROWTHS do
        if status == OK then
            local length, tier, left = result.length, result.tier, result.ttl
            return str(into, length), nil, tier, left
        elseif status == MISS then
            return nil, nil, result.tier
        elseif status == PENDING then
            local ticket = result.ticket
            soon(self.core)
            local final, err, done = _M.finish(self, ticket)
            if final == OK then
                return done.bytes, nil, done.tier, done.ttl
            elseif final == MISS then
                return nil, nil, done.tier
            end
            return nil, err
        elseif status ~= TOO_SMALL then
            return nil, outcome.read_error(status, result)
        end
        local into_size
        into, into_size = pending.room_for(result.length)
        if not into then
            return nil, "the value is larger than a Lua string"
        elseif into_size <= KEPT then
            buffer, size = into, into_size
        end
        status = C.tandem_get(handle, key, #key, flags, into, into_size, result)
    end
    return nil, "the value grew faster than it could be read"
end

local function cannot_decode(key, err)
    return format('cannot decode the value of key "%s": %s', text.shorten(key), err)
end

--- Looks a key up in memory, then in Redis.  What memory answers as fresh is offered to the near
-- table.  A key that is none is raised at the line of who called this one's caller.
-- @param flags of tandem_get
-- @return value, nil, TANDEM_TIER_*, seconds left of its TTL (0: for ever; negative: past it); or
-- nil, nil, TANDEM_TIER_NONE or _NEGATIVE; or nil, err, nil, and whether the value is there but
-- cannot be decoded
function _M.look(self, key, flags)
    local status = C.tandem_get(self.handle, key, #key, flags + flush.cork, buffer, size, result)
    if status == OK then
        local length, tier, left = result.length, result.tier, result.ttl
        local fresh_until, slot = result.fresh_until, result.slot
        local version, epoch = result.version, result.epoch
        local value = str(buffer, length)
        if self.decode then
            local err
            value, err = self.decode(value)
            if err then
                return nil, cannot_decode(key, err), nil, true
            end
        end
        local near = self.near
        if near and value ~= nil then
            admit(near, key, value, length, fresh_until, slot, version, epoch)
        end
        return value, nil, tier, left
    end
    if status == EINVAL then
        error(arguments.key(self, key) or outcome.message(result), 3)
    end

    local value, err, tier, left = read_on(self, key, flags, status)
    if value and self.decode then
        value, err = self.decode(value)
        if err then
            return nil, cannot_decode(key, err), nil, true
        end
    end
    return value, err, tier, left
end

return _M
