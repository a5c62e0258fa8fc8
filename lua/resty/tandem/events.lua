--- Listeners: functions of the application that are told what happens to a cache.
--
-- A cache without listeners pays nothing: its objects have the class's own methods.  With the first
-- one each object of its core gets methods that call those, and then tell.  What happens elsewhere,
-- in C or in other processes, is found out by looking at counters once a second.

local C = require("resty.tandem.lib").C
local each = require "resty.tandem.each"
local host = require "resty.tandem.host"
local metrics = require "resty.tandem.metrics"
local text = require "resty.tandem.text"

local concat = table.concat
local format = string.format
local pairs = pairs
local pcall = pcall
local setmetatable = setmetatable
local type = type

local LOOK_MS = 1000
local UP, DOWN = 1, 0

local _M = {}

local NAMES = { "hit", "miss", "set", "delete", "clear", "cleanup", "eviction", "invalidate",
                "degraded", "recovered", "loader_error" }
local is_event = {}
for _, name in pairs(NAMES) do
    is_event[name] = true
end
_M.NAMES = NAMES

-- -- Telling -------------------------------------------------------------------------------------

--- Calls the listeners of an event; what one raises is logged, and harms nobody.
function _M.tell(core, event, ...)
    local list = core.listeners and core.listeners[event]
    for i = 1, list and #list or 0 do
        local ok, err = pcall(list[i], ...)
        if not ok then
            local name = core.open.name
            host.log("error", format('cache "%s": a listener of "%s" has failed: %s', name, event,
                                     text.sentence(err)), name .. event)
        end
    end
end

-- -- What happens elsewhere ----------------------------------------------------------------------

local rows -- tier .. name -> the index of a counter

local function counter(core, tier, name)
    if not rows then
        rows = {}
        for _, row in pairs(metrics.rows()) do
            rows[row.tier .. row.name] = row.index
        end
    end
    return C.tandem_metric_value(core.handle, rows[tier .. name])
end

local function counters(core)
    return {
        evictions = counter(core, "memory", "evictions"),
        changes = counter(core, "tracking", "invalidations") + counter(core, "tracking", "flushes"),
        failures = counter(core, "redis", "connect_failures"),
    }
end

-- A worker that has asked Redis nothing yet has no connection either: that is no fault.
local function look_at_redis(core, was, now)
    local up = C.tandem_redis_up(core.handle)
    if up == DOWN and not core.degraded and (core.was_up or now.failures > was.failures) then
        core.degraded = true
        _M.tell(core, "degraded")
    elseif up == UP and core.degraded then
        core.degraded = false
        _M.tell(core, "recovered")
    end
    core.was_up = up == UP
end

local function look(core)
    local was, now = core.counted, counters(core)
    core.counted, core.looked_ms = now, C.tandem_now_ms()
    if now.evictions > was.evictions then
        _M.tell(core, "eviction", now.evictions - was.evictions)
    end
    if now.changes > was.changes then
        _M.tell(core, "invalidate", now.changes - was.changes)
    end
    if core.handle then
        look_at_redis(core, was, now)
    end
end

local function look_again(core)
    if not core.handle then
        return
    end
    core.looks = host.after(LOOK_MS / 1000, look_again, core)
    look(core)
end

-- Where the host has no timers, in plain LuaJIT and in nginx's master, calls look now and then.
local function keep_looking(core)
    if not core.handle or core.looks then
        return
    end
    core.looks = host.after(LOOK_MS / 1000, look_again, core)
    if not core.looks and C.tandem_now_ms() - core.looked_ms >= LOOK_MS then
        look(core)
    end
end

-- -- Methods that tell ---------------------------------------------------------------------------

-- class -> the methods that an object with listeners has in place of the class's own
local told = setmetatable({}, { __mode = "k" })

local function after_read(core, key, value, err, tier)
    if value ~= nil and tier ~= "loader" then
        _M.tell(core, "hit", key, tier)
    elseif not err or tier then
        _M.tell(core, "miss", key)
    end
    return value, err, tier
end

local function after_fetch(core, key, value, err, tier)
    if value ~= nil and tier ~= "loader" then
        _M.tell(core, "hit", key, tier)
    else
        _M.tell(core, "miss", key)
    end
    return value, err, tier
end

local function after_get_multi(core, keys, values, err)
    local seen = {}
    for i = 1, values and #keys or 0 do
        local key = keys[i]
        if not seen[key] and values[key] ~= nil then
            _M.tell(core, "hit", key)
        elseif not seen[key] and not err then
            _M.tell(core, "miss", key)
        end
        seen[key] = true
    end
    return values, err
end

-- What a write answers is false or nil when nothing has changed.
local function after_write(event)
    return function(core, key, ok, ...)
        if ok then
            _M.tell(core, event, key)
        end
        return ok, ...
    end
end

local function after_set_multi(core, pairs_given, ok, ...)
    for key in each(ok and pairs_given or {}) do
        _M.tell(core, "set", key)
    end
    return ok, ...
end

local function after_delete_multi(core, keys, ok, ...)
    for i = 1, ok and #keys or 0 do
        _M.tell(core, "delete", keys[i])
    end
    return ok, ...
end

local function after_clear(core, pattern, ok, ...)
    if ok then
        _M.tell(core, "clear", pattern)
    end
    return ok, ...
end

local function after_cleanup(core, _, count, ...)
    if count then
        _M.tell(core, "cleanup", count)
    end
    return count, ...
end

local AFTER = {
    get = after_read, fetch = after_fetch, get_multi = after_get_multi,
    set = after_write "set", add = after_write "set", replace = after_write "set",
    incr = after_write "set", expire = after_write "set", touch = after_write "set",
    delete = after_write "delete", set_multi = after_set_multi,
    delete_multi = after_delete_multi, clear = after_clear, delete_by_pattern = after_clear,
    cleanup_expired = after_cleanup,
}

local function methods_of(class)
    local methods = {}
    for name, after in pairs(AFTER) do
        local method = class[name]
        methods[name] = function(self, first, ...)
            local core = self.core
            keep_looking(core)
            return after(core, first, method(self, first, ...))
        end
    end
    told[class] = methods
    return methods
end

--- Has an object tell, if its core has listeners.
function _M.watch(object, class)
    if object.core.listeners then
        for name, method in pairs(told[class] or methods_of(class)) do
            object[name] = method
        end
    end
end

-- -- The method ----------------------------------------------------------------------------------

--- Adds a listener.
-- @return true; or nil and what is wrong
function _M.add(object, class, event, fn)
    if not is_event[event] then
        return nil, format("event must be one of %s, got %s", concat(NAMES, ", "),
                           type(event) == "string" and '"' .. event .. '"' or type(event))
    elseif type(fn) ~= "function" then
        return nil, "fn must be a function, got " .. type(fn)
    end
    local core = object.core
    if not core.listeners then
        core.listeners, core.counted = {}, counters(core)
        core.looked_ms = C.tandem_now_ms()
        for other in pairs(core.objects) do
            _M.watch(other, class)
        end
    end
    local list = core.listeners[event] or {}
    list[#list + 1] = fn
    core.listeners[event] = list
    keep_looking(core)
    return true
end

return _M
