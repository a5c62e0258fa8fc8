--- Operations that wait for Redis: from the ticket to the outcome.

local ffi = require "ffi"

local C = require("resty.tandem.lib").C
local handles = require "resty.tandem.handles"
local host = require "resty.tandem.host"
local trouble = require "resty.tandem.trouble"

local str = ffi.string

local OK = C.TANDEM_OK
local PENDING = C.TANDEM_PENDING
local TOO_SMALL = C.TANDEM_TOO_SMALL
local ETIMEOUT = C.TANDEM_ETIMEOUT

local KEPT = 1024 * 1024         -- a buffer up to this size is kept for the next outcome
local LARGEST = 2147483000       -- bytes in a Lua string

local _M = {}

-- Filled and read with no yield, and nothing that allocates, in between.
local result = ffi.new "tandem_result"
local buffer, size = ffi.new("char[?]", 16384), 16384

--- A buffer for at least so many bytes and its size, the next power of two.
-- @return buffer, size; or nil when no Lua string is that long
function _M.room_for(bytes)
    if bytes > LARGEST then
        return nil
    end
    local wanted = 16384
    while wanted < bytes do
        wanted = wanted * 2
    end
    return ffi.new("char[?]", wanted), wanted
end

local function grown(bytes)
    local larger, larger_size = _M.room_for(bytes)
    if larger and larger_size <= KEPT then
        buffer, size = larger, larger_size
    end
    return larger, larger_size
end

--- The outcome of an operation that was waited for, and the end of its ticket, completed or not.
-- @param ticket
-- @param err what host.wait said when it could not wait
-- @return a table: status, and, where they mean something, bytes, tier, ttl, count, error
function _M.take(ticket, err)
    local mailbox = host.mailbox()
    local into, into_size = buffer, size
    local status = C.tandem_take(mailbox, ticket, into, into_size, result)

    if status == TOO_SMALL then
        local wanted = result.length
        into, into_size = grown(wanted)
        if not into then
            C.tandem_abandon(mailbox, ticket)
            return { status = status, error = "the value is larger than a Lua string" }
        end
        status = C.tandem_take(mailbox, ticket, into, into_size, result)
    end
    if status == PENDING then
        C.tandem_abandon(mailbox, ticket)
        return { status = ETIMEOUT, error = err or "Redis did not answer in time" }
    end

    -- All of it before the table is made, which may run a __gc.
    local length, tier, ttl, count = result.length, result.tier, result.ttl, result.count
    local bytes, message
    if status == OK then
        bytes = str(into, length)
    else
        message = str(result.error, result.error_length)
    end
    return { status = status, bytes = bytes, error = message, tier = tier, ttl = ttl,
             count = count }
end

--- Waits for one operation and takes its outcome.
-- @param ms how long at most; nil: what Redis may take
function _M.finish(self, ticket, ms)
    local core = self.core

    handles.enter(core)
    local _, err = host.wait({ ticket }, 1, ms or self.wait_ms)
    local outcome = _M.take(ticket, err)
    trouble.check(core)
    handles.leave(core)
    return outcome
end

return _M
