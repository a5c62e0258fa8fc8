--- What memory has of a key, as it lies there: nothing is asked of Redis, brought into the near
-- table, marked as used or counted.
--
-- @module resty.tandem.peek

local ffi = require "ffi"

local C = require("resty.tandem.lib").C
local arguments = require "resty.tandem.arguments"
local host = require "resty.tandem.host"
local outcome = require "resty.tandem.outcome"
local pending = require "resty.tandem.pending"
local text = require "resty.tandem.text"

local error = error
local format = string.format
local str = ffi.string

local OK = C.TANDEM_OK
local MISS = C.TANDEM_MISS
local TOO_SMALL = C.TANDEM_TOO_SMALL
local STALE = C.TANDEM_STALE
local NEGATIVE = C.TANDEM_TIER_NEGATIVE
local TIERS = outcome.TIERS

local GROWTHS = 8 -- how often a value may outgrow the buffer made for it
local OPTIONS = { stale = true }

-- Filled and read with no yield, and nothing that allocates, in between.
local result = ffi.new "tandem_result"
local buffer, buffer_size = pending.room_for(1)

--- Looks a key up in memory, and only there.
---
--- Returns ttl, nil, value, tier: the seconds that memory will keep it (0: it never expires;
--- negative: it expired so long ago) and "memory" or "stale"; or ttl, nil, nil, "negative" for a
--- remembered absence; or nil when memory has nothing; or nil, err when it cannot be decoded.
---@param self tandem.cache
---@param key string
---@param opts tandem.peek_options?
---@return number? ttl
---@return string? err
---@return any value
---@return "memory"|"stale"|"negative"? tier
return function(self, key, opts)
    if not self.handle then
        error(arguments.not_open(self), 2)
    end
    local problem = arguments.key(self, key) or arguments.flags(opts, OPTIONS)
    if problem then
        error(problem, 2)
    end
    if not self.flags and not host.read_flags() then
        return nil, outcome.no_wait()
    end

    local flags = opts and opts.stale and STALE or 0
    local into, size = buffer, buffer_size
    local status = C.tandem_peek(self.handle, key, #key, flags, into, size, result)
    for _ = 1, GROWTHS do
        if status ~= TOO_SMALL then
            break
        end
        into, size = pending.room_for(result.length)
        if not into then
            return nil, "the value is larger than a Lua string"
        end
        status = C.tandem_peek(self.handle, key, #key, flags, into, size, result)
    end

    local ttl, tier, length = result.ttl, result.tier, result.length
    if status == MISS and tier == NEGATIVE then
        return ttl, nil, nil, TIERS[tier]
    elseif status == MISS then
        return nil
    elseif status ~= OK then
        return nil, outcome.message(result)
    end
    local value = str(into, length)
    if self.decode then
        local err
        value, err = self.decode(value)
        if err then
            return nil, format('cannot decode the value of key "%s": %s', text.shorten(key), err)
        end
    end
    return ttl, nil, value, TIERS[tier]
end
