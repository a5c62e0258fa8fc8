--- What the statuses of C mean to a Lua caller.

local ffi = require "ffi"

local C = require("resty.tandem.lib").C
local host = require "resty.tandem.host"

local str = ffi.string

local OK = C.TANDEM_OK
local DEGRADED = C.TANDEM_DEGRADED
local ENOWAIT = C.TANDEM_ENOWAIT

local _M = {}

--- TANDEM_TIER_* -> the third return of a read.
_M.TIERS = {
    [C.TANDEM_TIER_MEMORY] = "memory",
    [C.TANDEM_TIER_REDIS] = "redis",
    [C.TANDEM_TIER_LOADER] = "loader",
    [C.TANDEM_TIER_STALE] = "stale",
    [C.TANDEM_TIER_NEGATIVE] = "negative",
}

--- What a read returns thirdly -> true: it may be passed on with the value, to where another
-- argument is looked for.
_M.is_tier = {}
for _, name in pairs(_M.TIERS) do
    _M.is_tier[name] = true
end

--- The sentence in a tandem_result.
function _M.message(result)
    return str(result.error, result.error_length)
end

--- Why Redis is not asked from here.
function _M.no_wait()
    local where, advice = host.where()
    return "Redis cannot be asked " .. where .. (advice or "")
end

--- Why a loader is not run from here.
function _M.no_load()
    return "the loader cannot be run " .. (host.where())
end

--- The sentence for a read that failed.
function _M.read_error(status, result)
    return status == ENOWAIT and _M.no_wait() or _M.message(result)
end

-- Why a write that was done has not been acknowledged, if so.
local function unacknowledged(self, flags)
    if flags ~= 0 then
        return "queued: Redis cannot be waited for " .. (host.where())
    elseif self.behind then
        return 'queued: write = "behind"'
    end
end

--- The returns of a write: true; true, "queued: ..."; true, "not in Redis: ..."; or nil, err.
function _M.written(self, status, err, flags)
    if status == OK then
        return true, unacknowledged(self, flags)
    elseif status == DEGRADED then
        return true, err
    end
    return nil, err
end

return _M
