--- A cache object: its methods on one key.  Those that depend on what is there are in atomic.lua,
-- those on many keys in many.lua and fetch_multi.lua, walks over all keys in walk.lua and scan.lua;
-- this file puts them together.
--
-- Where a method may be called : everything that memory answers, everywhere.  What needs Redis
-- waits without blocking where the code may yield; elsewhere reads return nil, err and writes are
-- queued.  In init_by_lua* a cache with Redis answers nil, err.
--
-- What is wrong with an argument is raised at the caller's line.  What the world does (network,
-- memory, an error from Redis) is returned as nil, err.
--
-- @module resty.tandem.cache

local ffi = require "ffi"

local C = require("resty.tandem.lib").C
local arguments = require "resty.tandem.arguments"
local atomic = require "resty.tandem.atomic"
local events = require "resty.tandem.events"
local fetch = require "resty.tandem.fetch"
local fetch_multi = require "resty.tandem.fetch_multi"
local freeze = require "resty.tandem.freeze"
local handles = require "resty.tandem.handles"
local host = require "resty.tandem.host"
local many = require "resty.tandem.many"
local many_changes = require "resty.tandem.many_changes"
local metrics = require "resty.tandem.metrics"
local near_table = require "resty.tandem.near"
local outcome = require "resty.tandem.outcome"
local peek = require "resty.tandem.peek"
local pending = require "resty.tandem.pending"
local reading = require "resty.tandem.reading"
local scan = require "resty.tandem.scan"
local walk = require "resty.tandem.walk"

local byte = string.byte
local error = error
local format = string.format
local setmetatable = setmetatable
local sub = string.sub
local type = type

local find = near_table.find
local finish_read = reading.finish
local key_problem = arguments.key
local look = reading.look
local not_open = arguments.not_open
local read_flags = host.read_flags
local write_flags = host.write_flags

local OK = C.TANDEM_OK
local MISS = C.TANDEM_MISS
local PENDING = C.TANDEM_PENDING
local HASH = arguments.RESERVED_FIRST
local RESERVED, RESERVED_LENGTH = arguments.RESERVED, arguments.RESERVED_LENGTH
local TIERS = outcome.TIERS

--[[@class tandem.cache]]
local _M = {}
local mt = { __index = _M }

-- Filled and read with no yield, and nothing that allocates, in between: a __gc of the application
-- that uses the cache would fill them anew.
local result = ffi.new "tandem_result"

-- -- Reading -------------------------------------------------------------------------------------

--- Looks a key up: in the near table, in memory, then in Redis.
---
--- With another codec than "string", calls may return the same table again: it must not be changed.
--- Returns value, nil, tier; or nil, nil, nil when there is no such key, with "negative" as tier
--- when a loader has said so; or nil, err when only Redis knows and cannot be asked, or the bytes,
--- written by another program, cannot be decoded.
---@param self tandem.cache
---@param key string any bytes
---@return any value
---@return string? err
---@return "memory"|"redis"|"stale"|"negative"? tier "stale": Redis cannot be asked
function _M.get(self, key)
    local near = self.near
    if near then
        local i = find(near, key)
        if i then
            return near.values[i], nil, "memory"
        end
    end
    if not self.handle then
        error(not_open(self), 2)
    end
    if type(key) ~= "string"
       or byte(key, 1) == HASH and sub(key, 1, RESERVED_LENGTH) == RESERVED then
        error(key_problem(self, key), 2)
    end
    local flags = self.flags or read_flags()
    if not flags then
        return nil, outcome.no_wait()
    end
    local value, err, tier = look(self, key, flags)
    if err then
        return nil, err
    end
    return value, nil, TIERS[tier]
end

-- What exists and ttl have in common: the status in the end, its error, and the seconds left.
local function ask(self, status)
    if status == PENDING then
        local final, err, done = finish_read(self, result.ticket)
        return final, err, done and done.ttl
    end
    local ttl = result.ttl
    if status == OK or status == MISS then
        return status, nil, ttl
    end
    return status, outcome.read_error(status, result)
end

--- Is there such a key, in either tier?
---@param self tandem.cache
---@param key string
---@return boolean? there nil when only Redis knows and cannot be asked
---@return string? err
function _M.exists(self, key)
    if not self.handle then
        error(not_open(self), 2)
    end
    local problem = key_problem(self, key)
    if problem then
        error(problem, 2)
    end
    if self.near and find(self.near, key) then
        return true
    end
    local flags = self.flags or read_flags()
    if not flags then
        return nil, outcome.no_wait()
    end
    local status, err = ask(self, C.tandem_exists(self.handle, key, #key, flags, result))
    if status == OK then
        return true
    elseif status == MISS then
        return false
    end
    return nil, err
end

--- The time a key has left.
---@param self tandem.cache
---@param key string
---@return number? seconds 0: it never expires; nil: there is none, or only Redis knows (err)
---@return string? err
function _M.ttl(self, key)
    if not self.handle then
        error(not_open(self), 2)
    end
    local problem = key_problem(self, key)
    if problem then
        error(problem, 2)
    end
    local flags = self.flags or read_flags()
    if not flags then
        return nil, outcome.no_wait()
    end
    local status, err, seconds = ask(self, C.tandem_ttl(self.handle, key, #key, flags, result))
    if status == OK then
        return seconds
    elseif status == MISS then
        return nil
    end
    return nil, err
end

-- -- Writing -------------------------------------------------------------------------------------

-- The status of a write in the end, and its sentence.
local function settle(self, status)
    if status == PENDING then
        local done = pending.finish(self, result.ticket)
        return done.status, done.error
    elseif status == OK or status == MISS then
        return status
    end
    return status, outcome.message(result)
end

--- Stores a value in both tiers.
---
--- Returns true; or true, "queued: ..." when Redis will be told without this call waiting for it;
--- or true, "not in Redis: ..." when Redis cannot be told and memory carries on alone; or nil, err.
---@param self tandem.cache
---@param key string
---@param value any what the codec takes: with the default one a string
---@param ttl number? seconds, milliseconds count; 0: never expires; default: the option `ttl`
---@param opts tandem.set_options? `tags`, in a cache with `tags = true`
---@return true? ok
---@return string? note why Redis does not have it yet, or what went wrong
function _M.set(self, key, value, ttl, opts)
    if not self.handle then
        error(not_open(self), 2)
    end
    local problem = key_problem(self, key)
    if problem then
        error(problem, 2)
    end
    local bytes, err, misuse = self.encode(value)
    if not bytes then
        if misuse then
            error(err, 2)
        end
        return nil, err
    end
    local ms = self.ttl_ms
    if ttl ~= nil then
        ms, problem = arguments.ttl(ttl)
        if problem then
            error(problem, 2)
        end
    end
    local tags = ""
    if opts ~= nil and not outcome.is_tier[opts] then
        tags, problem = arguments.set_options(self, opts)
        if problem then
            error(problem, 2)
        end
    end
    local flags = self.flags or write_flags()
    if not flags then
        return nil, outcome.no_wait()
    end

    local status
    if tags == "" then
        status = C.tandem_set(self.handle, key, #key, bytes, #bytes, ms, flags, result)
    else
        status = C.tandem_set_tagged(self.handle, key, #key, bytes, #bytes, ms, tags, #tags, flags,
                                     result)
    end
    status, err = settle(self, status)
    return outcome.written(self, status, err, flags)
end

--- Makes every value that has a tag go, in both tiers and on all hosts, however many there are.
---
--- Returns true; or true, "queued: ..." when Redis will be told without this call waiting, or
--- when it is back; or nil, err: then other hosts do not know, and this one's memory has done it.
---@param self tandem.cache
---@param tag string
---@return true? ok
---@return string? note why Redis does not know yet, or what went wrong
function _M.invalidate_tag(self, tag)
    if not self.handle then
        error(not_open(self), 2)
    end
    local problem = arguments.tag(self, tag)
    if problem then
        error(problem, 2)
    end
    local flags = self.flags or write_flags()
    if not flags then
        return nil, outcome.no_wait()
    end

    local status, err = settle(self, C.tandem_invalidate_tag(self.handle, tag, #tag, flags, result))
    return outcome.written(self, status, err, flags)
end

--- Deletes a key from both tiers.
---
--- Returns true when either tier had it, false when none had; or true, "queued: ..." and
--- true, "not in Redis: ..." as set; or nil, err.
---@param self tandem.cache
---@param key string
---@return boolean? existed
---@return string? note why Redis does not know yet, or what went wrong
function _M.delete(self, key)
    if not self.handle then
        error(not_open(self), 2)
    end
    local problem = key_problem(self, key)
    if problem then
        error(problem, 2)
    end
    local flags = self.flags or write_flags()
    if not flags then
        return nil, outcome.no_wait()
    end

    local status, err = settle(self, C.tandem_delete(self.handle, key, #key, flags, result))
    if status == MISS then
        return false
    end
    return outcome.written(self, status, err, flags)
end

-- -- The rest ------------------------------------------------------------------------------------

_M.add = atomic.add
_M.replace = atomic.replace
_M.incr = atomic.incr
_M.expire = atomic.expire
_M.touch = atomic.touch
_M.peek = peek
_M.scan = scan
_M.fetch = fetch.fetch
_M.fetch_multi = fetch_multi.fetch_multi
_M.get_multi = many.get_multi
_M.exists_multi = many.exists_multi
_M.set_multi = many_changes.set_multi
_M.delete_multi = many_changes.delete_multi
_M.keys = walk.keys
_M.clear = walk.clear
_M.delete_by_pattern = walk.delete_by_pattern
_M.cleanup_expired = walk.cleanup_expired

--- Numbers over all processes of the host: what a lookup is to a user, then `memory`, `redis`,
--- `tracking` and `fetch` with every counter of the tier.
---@param self tandem.cache
---@return tandem.stats stats
function _M.stats(self)
    if not self.handle then
        error(not_open(self), 2)
    end
    return metrics.stats(self.core)
end

--- Has fn called when something happens to this cache, whichever object of this Lua VM did it;
--- see the README for what each event tells.  fn runs in the call that caused it, must not wait;
--- what it raises is logged.
---@param self tandem.cache
---@param event tandem.event
---@param fn function
---@return true ok
function _M.on(self, event, fn)
    if not self.handle then
        error(not_open(self), 2)
    end
    local ok, problem = events.add(self, _M, event, fn)
    if not ok then
        error(problem, 2)
    end
    return true
end

--- Gives the cache up; later calls raise.  Calls of other light threads that are waiting for Redis
--- still end.  The segment goes when its last user does.
---@param self tandem.cache
---@return true ok
function _M.close(self)
    if not self.handle then
        error(not_open(self), 2)
    end
    self.handle, self.near = nil, nil
    handles.close(self.core)
    return true
end

function mt.__tostring(self)
    return format('tandem cache "%s"%s', self.name, self.handle and "" or " (closed)")
end

-- -- Making one ----------------------------------------------------------------------------------

--- Opens a cache.
-- @param checked what options.check returned
-- @return the object; or nil, err, and true when it is the caller's mistake
function _M.open(checked)
    local core, err, misuse = handles.open(checked)
    if not core then
        return nil, err, misuse
    end

    local codec = checked.freeze and freeze.codec(checked.codec) or checked.codec

    -- handle and near are the core's, until close; flags is nil when the phase has a say.
    local object = setmetatable({
        name = checked.name,
        core = core,
        handle = core.handle,
        near = handles.near(core, checked.near, checked.freeze),
        flags = not checked.redis and 0 or nil,
        has_redis = checked.redis ~= nil,
        tags = checked.tags,
        lock = checked.lock,
        behind = checked.redis ~= nil and checked.write == "behind",
        encode = codec.encode,
        decode = codec.decode,
        frozen = codec ~= checked.codec,
        ttl_ms = checked.ttl,
        wait_ms = checked.timeout + checked.connect_timeout + 1000,
        key_limit = C.tandem_key_limit(core.handle),
        refresh_ahead = checked.refresh_ahead,
        settings = fetch.settings(checked),
    }, mt)
    core.objects[object] = true
    events.watch(object, _M)
    return object
end

return _M
