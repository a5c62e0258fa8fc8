--- A plugin for Apache APISIX: a switch for each route, which any program may turn in Redis, and
-- which all workers and nodes see a round trip later:
--
--     redis-cli SET switch:ROUTE 'back at noon'     the route answers 503, and this
--     redis-cli DEL switch:ROUTE                    and goes on
--
-- Requests do not ask Redis: that there is no such key is remembered, until Redis tells of one.
--
-- A skeleton: tests run it with stand-ins for what it uses of APISIX (../../stand-in), not in
-- APISIX.  There it is enabled in conf/config.yaml, with lua-resty-tandem installed:
--
--     apisix:
--       extra_lua_path: "/path/to/apisix-plugin/?.lua"
--     plugins:                    # beside those that are to be there
--       - tandem-switch
--     plugin_attr:
--       tandem-switch:
--         redis: "redis://127.0.0.1:6379/0"

local core = require "apisix.core"
local plugin = require "apisix.plugin"
local tandem = require "resty.tandem"

local REMEMBERED = 3600 -- seconds

local schema = {
    type = "object",
    properties = { status = { type = "integer", minimum = 400, maximum = 599, default = 503 } },
}

local _M = { version = 0.1, priority = 3050, name = "tandem-switch", schema = schema }

local switches

function _M.check_schema(conf)
    return core.schema.check(schema, conf)
end

--- Called in each worker when it begins, and after destroy() when plugins are loaded anew.
function _M.init()
    local attr = plugin.plugin_attr(_M.name)
    switches = assert(tandem.new("switch", {
        memory = "1m", redis = attr and attr.redis, neg_ttl = REMEMBERED,
    }))
end

function _M.destroy()
    switches:close()
end

-- The loader: what is not in Redis is nowhere.
local function nowhere()
    return nil
end

function _M.access(conf, ctx)
    local text, err = switches:fetch(ctx.route_id, nowhere)
    if err then
        core.log.warn("switch: ", err) -- no reason to turn everybody away
    elseif text then
        return conf.status, { message = text }
    end
end

return _M
