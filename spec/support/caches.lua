--- Caches for specs that run in plain LuaJIT: each under a name of its own, closed in the end.

local run = require "spec.support.run"
local tandem = require "resty.tandem"

local _M = {}

local REGISTRY = "tandem.spec.caches"

-- Also unlike those of the spec files before: they may be in the same Lua VM.
local function fresh_name()
    local registry = debug.getregistry()
    registry[REGISTRY] = (registry[REGISTRY] or 0) + 1
    return "spec-" .. registry[REGISTRY]
end

--- A new cache.  options as tandem.new, memory being 2m unless they say so, and without tracking,
-- which has commands of its own, unless they say something of it or of max_stale; name: for one
-- that is to be found by another, too.
function _M.open(options, name)
    options = options or {}
    options.memory = options.memory or "2m"
    if options.tracking == nil then
        options.tracking = options.max_stale ~= nil
    end
    local cache = assert(tandem.new(name or fresh_name(), options))
    run.finally(function()
        if cache.handle then
            cache:close()
        end
    end)
    return cache
end

--- A new cache on this server.  options: further ones of tandem.new.  One with max_stale has its
-- link when this returns: what is stored just before the first link is not kept.
function _M.on(server, options, name)
    options = options or {}
    options.redis = options.redis or server:url()
    local links = options.tracking == nil and options.max_stale ~= nil
    local cache = _M.open(options, name)
    if links then
        cache:get("anything")
        run.wait_until("the tracking link is up, or refused", function()
            local tracking = cache:stats().tracking
            return tracking.state == "on" or tracking.trouble
        end)
    end
    return cache
end

return _M
