--- What others document of their behaviour, beside ours: programs of spec/support/alike.lua, run
-- with each of them in nginx, and with a cache of ours in memory only and on a Redis.  Where ours
-- does otherwise, docs/migrating.md says so.  lua-resty-mlcache is run, too, where $MLCACHE is a
-- folder that has it and lua-resty-lock; what it answers is written down in any case.

local alike = require "spec.support.alike"
local nginx = require "spec.support.nginx"
local redis = require "spec.support.redis"
local run = require "spec.support.run"

local MLCACHE = os.getenv("MLCACHE")
local TEXT = run.read_file(run.root .. "/docs/migrating.md")

-- Lua that makes c, and what is called otherwise, for each of them.
local THEIRS = {
    dict = [[
        local c = ngx.shared.peer
        local function clear() c:flush_all() c:flush_expired() end
        local function keys(...) return c:get_keys(...) end
        local function cleanup(...) return c:flush_expired(...) end
    ]],
    lrucache = [[
        local c = require("resty.lrucache").new(100)
        local function clear() c:flush_all() end
        local function keys(max) return c:get_keys(max) end
        local function count() return c:count() end
    ]],
    mlcache = [[
        local c = assert(require("resty.mlcache").new("peer", "peer", { ipc_shm = "ipc" }))
        local function clear() assert(c:purge()) end
        local function set(key, value) return c:set(key, nil, value) end
        local function fetch(key, opts, loader, ...) return c:get(key, opts, loader, ...) end
        local function many(list, loader)
            local bulk, values = { n = #list }, {}
            for i, key in ipairs(list) do
                bulk[4 * i - 3], bulk[4 * i - 1], bulk[4 * i] = key, loader, key
            end
            local found = assert(c:get_bulk(bulk))
            for i, key in ipairs(list) do
                values[key] = found[3 * i - 2]
            end
            return values
        end
    ]],
}

local OURS = [[
    local c, stale = %s, %s
    local function clear() assert(c:clear()) end
    local function keys(max) return c:keys(nil, max ~= 0 and max or nil) end
    local function cleanup(max) return c:cleanup_expired(max) end
    local function count() return c:stats().entries end
    local function set(key, value) return c:set(key, value) end
    local function fetch(key, opts, loader, ...)
        local on = c
        if opts and opts.resurrect_ttl then
            on, opts.resurrect_ttl = stale, nil
        end
        return on:fetch(key, opts, loader, ...)
    end
    local function many(list, loader)
        return (c:fetch_multi(list, function(missing)
            local values = {}
            for _, key in ipairs(missing) do
                values[key] = loader(key)
            end
            return values
        end))
    end
]]

local OURS_OF = { dict = "plain", lrucache = "coded", mlcache = "coded" }

describe("what is documented of", function()
    local web

    setup(function()
        local server = redis.start()
        web = nginx.start({
            http = "lua_shared_dict peer 1m; lua_shared_dict ipc 1m;",
            init = ([[
                package.path = %q .. package.path
                local tandem = require "resty.tandem"
                caches = { memory = {}, redis = {} }
                for tier, on in pairs({ memory = false, redis = %q }) do
                    for name, options in pairs({ plain = {}, coded = { codec = "json" },
                                                 stale = { codec = "json", stale_ttl = 60 } }) do
                        options.redis = on or nil
                        options.memory, options.timeout, options.connect_timeout = "1m", 5, 5
                        caches[tier][name] = assert(tandem.new(tier .. name, options))
                    end
                end
            ]]):format(MLCACHE and MLCACHE .. "/?.lua;" or "", server:url()),
        })
    end)
    teardown(run.cleanup)

    local function answer(prologue, program)
        return web:eval(prologue .. " clear() " .. program)
    end

    for peer, programs in pairs(alike) do
        describe(peer, function()
            for _, case in ipairs(programs) do
                local about, program, theirs, ours, says = unpack(case, 1, 5)
                it(about, function()
                    if peer ~= "mlcache" or MLCACHE then
                        assert.are.equal(theirs, answer(THEIRS[peer], program))
                    end
                    for _, tier in ipairs({ "memory", "redis" }) do
                        local prologue = OURS:format(("caches.%s.%s"):format(tier, OURS_OF[peer]),
                                                     ("caches.%s.stale"):format(tier))
                        assert.are.equal(ours or theirs, answer(prologue, program), tier)
                    end
                    assert.are.equal(ours ~= nil, says ~= nil)
                    assert.is_truthy(not says or TEXT:find(says, 1, true), "is not said: " .. about)
                end)
            end
        end)
    end
end)
