--- A status page for people: how the caches that are open in this Lua VM are doing, over time.
--
--     location = /tandem {
--         allow 127.0.0.1;
--         deny all;
--         content_by_lua_block { require("resty.tandem.status").serve() }
--     }
--
-- One location answers with the page, which is one file without anything from elsewhere, and with
-- ?format=json with the numbers that the page asks for every two seconds.  Restrict it: keys say
-- much about users.
--
-- @module resty.tandem.status

local C = require("resty.tandem.lib").C
local handles = require "resty.tandem.handles"
local host = require "resty.tandem.host"
local json = require "resty.tandem.tool.json"
local metrics = require "resty.tandem.metrics"
local page = require "resty.tandem.status.page"
local process = require "resty.tandem.host.process"
local sample = require "resty.tandem.sample"
local show = require "resty.tandem.tool.show"
local slowest = require "resty.tandem.slowest"

local ipairs = ipairs

local _M = {}

local SLOWEST = 8
local COLUMNS = 48 -- of a prefix

-- Nothing but this very page's own style and script, and numbers from where it came from.
local POLICY = "default-src 'none'; script-src 'nonce-%s'; style-src 'nonce-%s'; "
    .. "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
    .. "frame-ancestors 'none'"

local function sampled(core)
    local newest = sample.newest(core)
    if not newest then
        return nil
    end
    local prefixes = { is_array = true }
    for i, prefix in ipairs(newest.prefixes) do
        prefixes[i] = { prefix = show.text(prefix.prefix, COLUMNS), entries = prefix.entries,
                        bytes = prefix.bytes, looks = prefix.looks }
    end
    return {
        age_seconds = (C.tandem_now_ms() - newest.taken_ms) / 1000, slots = newest.slots,
        all_slots = newest.all_slots, entries = newest.entries, looks = newest.looks,
        prefix_count = newest.prefix_count, prefixes = prefixes,
    }
end

local function loads(core)
    local list = { is_array = true }
    for i, load in ipairs(slowest.list(core, SLOWEST)) do
        list[i] = { prefix = show.text(load.prefix, COLUMNS), count = load.count,
                    seconds = load.sum_ms / 1000, slowest_seconds = load.most_ms / 1000 }
    end
    return list
end

local function of_cache(core)
    return { name = core.open.name, stats = metrics.stats(core), sample = sampled(core),
             loaders = loads(core) }
end

--- The numbers, as the page has them.
-- @return a table: seconds= (of the host's monotonic clock), worker= (a pid, whose `loaders` and
-- `sample` these are), caches= (an array of { name=, stats= (as stats()), loaders=, sample= })
function _M.collect()
    local caches = { is_array = true }
    for i, core in ipairs(handles.open_ones()) do
        caches[i] = of_cache(core)
    end
    return { seconds = C.tandem_now_ms() / 1000, worker = process.pid(), caches = caches }
end

local function nonce()
    local file = assert(io.open("/dev/urandom", "rb"))
    local bytes = file:read(18)
    file:close()
    return json.base64(bytes)
end

local function wants_json(format, accept)
    return format == "json" or not format and accept:find("application/json", 1, true)
        and not accept:find("text/html", 1, true)
end

local function respond(content_type, body, headers, status)
    headers["X-Content-Type-Options"], headers["Referrer-Policy"] = "nosniff", "no-referrer"
    return host.respond(content_type, body, headers, status)
end

--- Answers the request: with the page, or with JSON where ?format=json or the header Accept asks
-- for that.  For content_by_lua*.  Changes nothing, and answers GET and HEAD only.
function _M.serve()
    local method, format, accept = host.request()
    if method ~= "GET" and method ~= "HEAD" then
        return respond("text/plain", "this page is for GET and HEAD only\n",
                       { Allow = "GET, HEAD" }, 405)
    elseif wants_json(format, accept) then
        return respond("application/json", json.encode(_M.collect()), {})
    end
    local once = nonce()
    return respond("text/html; charset=utf-8", page(once),
                   { ["Content-Security-Policy"] = POLICY:format(once, once) })
end

return _M
