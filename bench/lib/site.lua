--- The site of bench/e2e: an nginx of two workers with one of the caches before a database that
-- takes 20 ms, filled; and requests to it.  A Redis must be there (lib/server.lua).

local json = require "cjson"

local clock = require "lib.clock"
local files = require "lib.files"
local host = require "lib.host"
local nginx = require "lib.nginx"
local ports = require "lib.ports"
local report = require "lib.report"
local shell = require "lib.shell"
local wrk = require "lib.wrk"

local MEMORY = "128m"

local HTTP = [[
    lua_shared_dict versions 8m;
    lua_shared_dict counts 64k;
    lua_shared_dict documents %s;
    lua_shared_dict ipc 8m;
]]

local INIT = [[
        require("e2e.site").init("%s", {
            redis = "%s/redis.sock", ttl = %d, memory = "%s", keys = %d,
        })
    ]]

local SERVER = [[
    location ~ ^/documents/(?<id>\d+)$ { content_by_lua_block { require("e2e.site").serve() } }
    location = /fill { content_by_lua_block { require("e2e.site").fill() } }
    location = /loads { content_by_lua_block { require("e2e.site").loads() } }
]]

local _M = {
    NEEDS = { "nginx", "redis-server", "redis-cli", "wrk", "curl", "nginx.redis" },
    TITLES = {
        none = "no cache", redis = "lua-resty-redis", shdict = "ngx.shared.DICT",
        mlcache = "lua-resty-mlcache", tandem = "tandem", stale = "tandem, stale_ttl",
    },
}

--- Of these caches those that are there: lua-resty-mlcache is somewhere else or nowhere.
function _M.candidates(names)
    local path, there = nginx.mlcache_path() .. package.path, {}
    local lack
    for _, module in ipairs { "resty.mlcache", "resty.lock", "resty.lrucache" } do
        lack = lack or not package.searchpath(module, path) and module
    end
    for _, name in ipairs(names) do
        if name == "mlcache" and lack then
            report.say("  lua-resty-mlcache is left out: there is no %s (MLCACHE)", lack)
        else
            there[#there + 1] = name
        end
    end
    return there
end

-- What is read after a write must be what was written, else there is nothing to measure.
local function check(site, name)
    local before = json.decode(host.get(site, "/documents/1"))
    shell.output("curl -s -X PUT --unix-socket %s/http.sock http://host/documents/1", site.folder)
    local after = json.decode(host.get(site, "/documents/1"))
    assert(after.version == before.version + 1, name .. ": a write is not read")
end

--- Starts it, on an empty Redis, with all documents in the cache.
-- @param name of one of the caches
-- @param number makes its folder's name another one
-- @param keys how many documents
-- @param ttl seconds
function _M.start(context, name, number, keys, ttl)
    shell.output("redis-cli -s %s/redis.sock FLUSHALL", context.scratch)
    local site = host.start(context, name .. number, {
        workers = 2, port = ports.free(), http = HTTP:format(MEMORY), server = SERVER,
        init = INIT:format(name, context.scratch, ttl, MEMORY, keys),
    })
    site.keys = keys
    check(site, name)
    assert(tonumber(host.get(site, "/fill")) == keys, name .. ": it cannot be filled")
    return site
end

_M.stop = host.stop

local function counts_of(context, site)
    local cpu = 0
    for _, pid in ipairs(host.workers(site)) do
        cpu = cpu + clock.of(pid)
    end
    return { cpu = cpu, loads = tonumber(host.get(site, "/loads")),
             commands = tonumber(shell.output("redis-cli -s %s/redis.sock INFO stats",
                                              context.scratch)
                                 :match("total_commands_processed:(%d+)")) }
end

--- Documents by Zipf's law, asked for or changed, as fast as they are answered.
-- @param load { connections =, seconds =, writes = part of all, seed = }
-- @return what lib/wrk.lua has measured, and worker_us, commands (of Redis) a request, loads (of
--   the database) a second
function _M.load(context, site, load)
    local before = counts_of(context, site)
    local row = wrk.run(context.bench .. "/e2e/load.lua", load.connections, load.seconds,
                        "http://127.0.0.1:" .. site.port,
                        ("%d %d %g"):format(site.keys, load.seed, load.writes))
    local after = counts_of(context, site)
    if row.bad > 0 then
        error(("%d of %d requests failed: %s"):format(row.bad, row.requests,
              files.read(site.folder .. "/error.log")))
    end
    row.worker_us = (after.cpu - before.cpu) / row.requests * 1e6
    row.commands = (after.commands - before.commands) / row.requests
    row.loads = (after.loads - before.loads) / row.microseconds * 1e6
    return row
end

return _M
