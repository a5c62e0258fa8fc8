--- What is wrong and stays so, though calls are answered: one line in the log each.

local ffi = require "ffi"

local C = require("resty.tandem.lib").C
local host = require "resty.tandem.host"
local tracking = require "resty.tandem.tracking"

local format = string.format
local str = ffi.string

local OK = C.TANDEM_OK

local TEXT_BYTES = 256

local _M = {}

local text = ffi.new("char[?]", TEXT_BYTES)

-- A URL of one server has none of its own.
local function of_others(core)
    if not core.has_others or not core.handle
       or C.tandem_redis_trouble(core.handle, text, TEXT_BYTES) == OK then
        return nil
    end
    local sentence = str(text)
    if core.open.told_trouble ~= sentence then
        core.open.told_trouble = sentence
        host.log("warn", format('cache "%s": %s', core.open.name, sentence))
    end
    return sentence
end

--- To be called now and then, after Redis was asked something.
-- @param core what handles.open returned
function _M.check(core)
    tracking.check(core)
    of_others(core)
end

--- Adds trouble, where there is any.
-- @param stats the table of Redis's counters
function _M.stats(core, stats)
    stats.trouble = of_others(core)
end

return _M
