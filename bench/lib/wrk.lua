--- Requests by wrk, from one thread.

local json = require "cjson"

local shell = require "lib.shell"

local STARTING = 0.3 -- seconds until wrk measures, at most

local _M = {}

-- wrk takes whole seconds; asked to end before, it says what it has measured.
local function timed(seconds)
    if seconds % 1 == 0 then
        return "wrk -d " .. seconds .. "s"
    end
    return ("timeout --foreground --signal=INT %g wrk -d 1m"):format(seconds + STARTING)
end

--- Sends requests as fast as they are answered.
-- @param script a Lua file for wrk that ends as bench/redis/latency.lua does
-- @param arguments of the script, as one text
-- @return { requests, bad, microseconds, per_second, p50, p99, p999 = of the latency, in us }
function _M.run(script, connections, seconds, url, arguments)
    local text = shell.output("%s -t 1 -c %d -s %s %s -- %s 2>&1", timed(seconds), connections,
                              script, url, arguments or "")
    local found = assert(text:match("{.*}"), text)
    local row = json.decode(found)
    row.per_second = row.requests / row.microseconds * 1e6
    return row
end

return _M
