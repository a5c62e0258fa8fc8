--- What tracking is up to, for people: its state, and one line in the log where Redis does not
-- track.

local ffi = require "ffi"

local C = require("resty.tandem.lib").C
local host = require "resty.tandem.host"

local format = string.format
local str = ffi.string

local OK = C.TANDEM_OK
local REFUSED = C.TANDEM_EREDIS

local TEXT_BYTES = 256

local _M = {}

local text = ffi.new("char[?]", TEXT_BYTES)

--- To be called now and then, after Redis was asked something: says once per cache when the server
-- does not track.  Redis being away is another matter, which each call says.
-- @param core what handles.open returned
function _M.check(core)
    local handle, open = core.handle, core.open
    if open.told or not handle
       or C.tandem_tracking_trouble(handle, text, TEXT_BYTES) ~= REFUSED then
        return
    end
    open.told = true
    host.log("notice", format('cache "%s" is not told of changes by Redis, so entries are fresh for'
                              .. " max_stale only: %s", open.name, str(text)))
end

--- Adds state and, where it is "unavailable" for a reason that this process knows, trouble.
-- @param stats the table of tracking's counters
function _M.stats(core, stats)
    stats.state = str(C.tandem_tracking_state(core.handle))
    if C.tandem_tracking_trouble(core.handle, text, TEXT_BYTES) ~= OK then
        stats.trouble = str(text)
    end
    _M.check(core)
end

return _M
