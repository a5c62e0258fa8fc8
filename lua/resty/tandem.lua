--- lua-resty-tandem: a cache in two tiers, memory shared by all processes of a host and Redis.
--
--     local tandem = require "resty.tandem"
--     local cache, err = tandem.new("pages", { memory = "128m", redis = "redis://127.0.0.1/0" })
--
-- @module resty.tandem

local ffi = require "ffi"

local cache = require "resty.tandem.cache"
local freeze = require "resty.tandem.freeze"
local host = require "resty.tandem.host"
local lib = require "resty.tandem.lib"
local options = require "resty.tandem.options"

local error = error

local _M = { _VERSION = ffi.string(lib.C.tandem_version()) }

--- Opens a cache: attaches to the segment of this identity, or makes it.
---
--- Never contacts Redis, and does not fail because Redis is down.  Cheap when the cache is open
--- already: may be called per request.  In nginx call it in init_by_lua*, so that the workers
--- inherit the segment; workers that call it first meet in a file in `runtime_dir`.
---
--- Raises what is wrong with an argument or option; also other identity options (`memory`, `path`,
--- `redis`, `prefix`, `codec`, `tags`) than those of an open cache of this name in this Lua VM.
---@param name string 1 to 63 of A-Z a-z 0-9 _ . -
---@param opts tandem.options? see the table of options in the README
---@return tandem.cache? cache nil when the segment cannot be made or attached
---@return string? err
function _M.new(name, opts)
    if name == _M then
        error("tandem.new must be called with a dot, as in tandem.new(name)", 2)
    end
    local checked, problem = options.check(name, opts)
    if not checked then
        error(problem, 2)
    end
    local object, err, misuse = cache.open(checked)
    if misuse then
        error(err, 2)
    end
    return object, err
end

--- A deep copy of a value of a cache with `freeze = true`: plain tables, the caller's own.
---@generic T
---@param value T any; what is no table is returned as it is
---@return T copy
function _M.thaw(value)
    return freeze.thaw(value)
end

--- Sends the library's log lines to fn(level, message), level being "error", "warn" or "notice".
--- Without one they go to nginx's error log; plain LuaJIT drops them.  nil: as before.
---@param fn fun(level: "error"|"warn"|"notice", message: string)?
function _M.set_logger(fn)
    if fn ~= nil and type(fn) ~= "function" then
        error("fn must be a function or nil, got " .. type(fn), 2)
    end
    host.set_logger(fn)
end

return _M
