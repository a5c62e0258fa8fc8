--- Numbers for Prometheus: every counter, gauge and histogram of every cache that is open in this
-- Lua VM, in its text format.  Each number is over all workers of the host, so any worker may be
-- asked.
--
--     location = /metrics {
--         allow 127.0.0.1;
--         deny all;
--         content_by_lua_block { require("resty.tandem.prometheus").serve() }
--     }
--
-- @module resty.tandem.prometheus

local handles = require "resty.tandem.handles"
local host = require "resty.tandem.host"
local metrics = require "resty.tandem.metrics"

local concat = table.concat
local find = string.find
local format = string.format
local gsub = string.gsub
local ipairs = ipairs
local match = string.match
local pairs = pairs
local sub = string.sub
local tonumber = tonumber

local _M = {}

local CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

-- What is not a row of the table of counters: of stats(), what a user means by them.
local DERIVED = {
    { name = "tandem_hits_total", kind = "counter",
      help = "lookups that found a value, in memory or in Redis",
      value = function(stats) return stats.hits end },
    { name = "tandem_misses_total", kind = "counter",
      help = "lookups that found none, or could not be answered",
      value = function(stats) return stats.misses end },
    { name = "tandem_redis_up", kind = "gauge",
      help = "whether the process that was asked has a connection to Redis that answers",
      value = function(stats)
          return stats.redis.state ~= "none" and (stats.redis.state == "up" and 1 or 0) or nil
      end },
    { name = "tandem_tracking_on", kind = "gauge",
      help = "whether what Redis has changed is gone from memory at once",
      value = function(stats)
          return stats.tracking.state ~= "off" and (stats.tracking.state == "on" and 1 or 0) or nil
      end },
}

-- Prometheus wants the unit in a name's end, and a counter to say that it is one.
local function name_of(row)
    local name = row.name
    local unit = row.unit
    if unit ~= "" and not find(name, unit .. "$") then
        name = (match(name, "^" .. unit .. "_(.*)$") or name) .. "_" .. unit
    end
    return "tandem_" .. row.tier .. "_" .. name .. (row.kind == "counter" and "_total" or "")
end

local ESCAPES = { ["\\"] = "\\\\", ["\n"] = "\\n", ['"'] = '\\"' }

local function escape(text)
    return (gsub(text, '[\\\n"]', ESCAPES))
end

-- A number as people write it where that is exact: 1e-06 instead of 9.9999999999999995e-07.
local function number(value)
    local short = format("%.6g", value)
    return tonumber(short) == value and short or format("%.17g", value)
end

local function append(lines, name, kind, help, samples)
    if #samples == 0 then
        return
    end
    lines[#lines + 1] = format("# HELP %s %s", name, (gsub(help, "[\\\n]", ESCAPES)))
    lines[#lines + 1] = format("# TYPE %s %s", name, kind)
    for _, sample in ipairs(samples) do
        lines[#lines + 1] = sample
    end
end

-- A histogram's samples: label is what all of them have, in braces.
local function add_histogram(samples, name, label, histogram)
    local open = sub(label, 1, -2)
    for _, bucket in ipairs(histogram.buckets) do
        local le = bucket.le and number(bucket.le) or "+Inf"
        samples[#samples + 1] = format('%s_bucket%s,le="%s"} %s', name, open, le,
                                       number(bucket.count))
    end
    samples[#samples + 1] = format("%s_sum%s %s", name, label, number(histogram.sum))
    samples[#samples + 1] = format("%s_count%s %s", name, label, number(histogram.count))
end

--- The text.
---@param labels table<string, string>? more labels for each sample: name -> value
---@return string text
---@return string content_type
function _M.collect(labels)
    local more = {}
    for name, value in pairs(labels or {}) do
        more[#more + 1] = format(',%s="%s"', name, escape(value))
    end
    table.sort(more)
    local tail = concat(more)

    local caches = {}
    for i, core in ipairs(handles.open_ones()) do
        caches[i] = { label = format('{cache="%s"%s}', escape(core.open.name), tail),
                      stats = metrics.stats(core) }
    end

    local lines = {}
    local function add(name, kind, help, value_of)
        local samples = {}
        for _, cache in ipairs(caches) do
            local value = value_of(cache.stats)
            if kind == "histogram" then
                add_histogram(samples, name, cache.label, value)
            elseif value then
                samples[#samples + 1] = format("%s%s %s", name, cache.label, number(value))
            end
        end
        append(lines, name, kind, help, samples)
    end
    for _, row in ipairs(DERIVED) do
        add(row.name, row.kind, row.help, row.value)
    end
    for _, row in ipairs(metrics.rows()) do
        add(name_of(row), row.kind, row.help, function(stats)
            return stats[row.tier][row.name]
        end)
    end
    lines[#lines + 1] = ""
    return concat(lines, "\n"), CONTENT_TYPE
end

--- Answers the request with the text.  For content_by_lua*.  Restrict the location: the numbers are
--- nobody else's business.
---@param labels table<string, string>? as in collect
function _M.serve(labels)
    local text, content_type = _M.collect(labels)
    host.respond(content_type, text)
end

return _M
