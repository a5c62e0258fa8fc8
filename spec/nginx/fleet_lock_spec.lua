-- The lock of a key on three hosts (lock = "redis"): hosts, loaders, requests and a Redis that die
-- with it, and how long one waits for it.

local fetching = require "spec.support.fetching"
local fleets = require "spec.support.fleet"
local run = require "spec.support.run"
local signal = require "posix.signal"

local await, await_stale = fleets.await, fleets.await_stale

describe("the lock of a key, on three hosts,", function()
    local fleet, server, sites, key

    setup(function()
        fleet = fleets.start()
        server, sites = fleet.server, fleet.sites
    end)
    teardown(function()
        fleet:quit()
        run.cleanup()
    end)
    before_each(function()
        fleet:mend()
        key = fleet:new_key()
    end)

    local function fetch(loader, opts)
        return fetching.code(key, loader, opts)
    end

    local function held(results, opts)
        return fetching.held(key, results, opts)
    end

    it("has another host load when the worker that did is killed", function()
        local opts = "{ hard_timeout = 0.5 }"
        local lost = sites[1]:send_to(sites[1].workers[1], 1, held("'lost'", opts))[1]
        sites[1]:await(key, 1)
        local waits = sites[2]:counter("fleet_waits")
        local other = sites[2]:send_to(sites[2].workers[1], 1, held("'value'", opts))[1]
        sites[2]:await_counter("fleet_waits", waits + 1)
        assert(signal.kill(sites[1].workers[1], signal.SIGKILL))
        sites[2]:go()
        local said = sites[2]:answers({ other })
        assert.are.same({ ["'value' nil 'loader'"] = 1 }, said)
        assert.are.equal(1, sites[2]:count(key))
        sites[1]:answers({ lost })
        await("the worker is back", function()
            sites[1].workers = sites[1].web:workers()
            return #sites[1].workers == 2
        end)
        await("its host has the value", function()
            return sites[1]:eval(("return (cache:get(%q))"):format(key)) == "'value'"
        end)
    end)

    it("loads without the lock when lock_timeout has passed, which is no error", function()
        local first = sites[1]:send_to(sites[1].workers[1], 1, held("'first'"))[1]
        sites[1]:await(key, 1)
        assert.are.equal("'second' nil 'loader'",
                         sites[2]:eval(fetch("quick, 'late', 'second'", "{ lock_timeout = 0.2 }")))
        assert.are.equal(1, fleet:count("late"))
        -- What that has stored is the answer of all who wait.
        assert.are.equal("'second'", sites[3]:eval(held("'third'")):match("^'second'"))
        sites[1]:go()
        sites[1]:answers({ first })
        assert.are.equal(1, fleet:count(key))
        assert.are.equal("second", server:call("GET", "f:" .. key))
    end)

    -- The answer of Lua text, and how long it took.
    local function timed(site, code)
        local began = run.now()
        return site:eval(code), run.now() - began
    end

    it("runs one loader on each host when the host that has the lock has died", function()
        fleet:lock_away(key)
        local opts, all = "{ lock_timeout = 3 }", {}
        for i, site in ipairs(sites) do
            all[i] = site:send_to(site.workers[1], 10, held("'value'", opts))
        end
        await("each has a loader", function() return fleet:count(key) == fleets.HOSTS end)
        fleet:go()
        local said = fleet:answers(all)
        assert.are.equal(fleets.HOSTS, fleet:count(key))
        for answer in pairs(said) do
            assert.is_truthy(answer:find("^'value' nil '"), answer)
        end
        assert.are.equal("value", server:call("GET", "f:" .. key))
    end)

    it("waits for lock_timeout once, for this host's loader and for another's", function()
        local first = sites[1]:send_to(sites[1].workers[1], 1,
            fetch(("function() held(%q) cache:delete(%q) return 'gone' end"):format(key, key)))[1]
        sites[1]:await(key, 1)
        local before, began = sites[1]:counter("joined"), run.now()
        local second = sites[1]:send_to(sites[1].workers[1], 1,
            fetch("function() return 'second' end", "{ lock_timeout = 2 }"))[1]
        sites[1]:await_counter("joined", before + 1)
        run.wait_until("it has waited", function() return run.now() > began + 1 end)
        fleet:lock_away(key)
        fleet:go()
        sites[1]:answers({ first })
        assert.are.same({ ["'second' nil 'loader'"] = 1 }, sites[1]:answers({ second }))
        assert.is_true(run.now() - began >= 2)
        assert.is_true(run.now() - began < 3, run.now() - began)
    end)

    it("kills a loader that takes too long, and one whose request has gone", function()
        local said, took = timed(sites[1], fetch("function() ngx.sleep(30) end",
                                                 "{ hard_timeout = 0.3 }"))
        assert.is_truthy(said:find("took longer than hard_timeout, 0.3 s", 1, true), said)
        assert.is_true(took < 10, took)
        await("the lock says so", function() return (fleet:lock_of(key) or ""):sub(1, 1) == "e" end)
        server:call("DEL", "f:#tandem:lock:" .. key)
        said = sites[1]:eval(([[
            local thread = ngx.thread.spawn(function()
                return cache:fetch(%q, function() ngx.sleep(3) return "first" end)
            end)
            ngx.sleep(0.1)
            ngx.thread.kill(thread)
            local began = ngx.now()
            local value = cache:fetch(%q, { lock_timeout = 60 }, function() return "second" end)
            ngx.update_time()
            return value, ngx.now() - began
        ]]):format(key, key))
        assert.is_true(tonumber(said:match("^'second' ([%d.]+)$")) < 2.5, said)
        await("the lock has gone", function() return not fleet:lock_of(key) end)
    end)

    it("lets go of the lock when the request that waits for it is killed", function()
        fleet:lock_away(key)
        local said, took = timed(sites[1], ([[
            local thread = ngx.thread.spawn(function()
                return cache:fetch(%q, function() return "first" end)
            end)
            ngx.sleep(0.1)
            ngx.thread.kill(thread)
            return cache:fetch(%q, { lock_timeout = 0.5 }, function() return "second" end)
        ]]):format(key, key))
        assert.are.equal("'second' nil 'loader'", said)
        assert.is_true(took < 10, took)
    end)

    it("does not ask with every call while another host makes what is past its TTL", function()
        sites[1]:eval(("cache:set(%q, 'old', 0.05)"):format(key))
        await_stale(sites[1], key)
        fleet:lock_away(key)
        local before, began = fleet:asked(), run.now()
        for _ = 1, 20 do
            assert.are.equal("'old' nil 'stale'", sites[1]:eval(held("'new'")))
            sites[1]:eval(("return cache:fetch_multi({ %q }, nil, function() return {} end)")
                          :format(key))
        end
        -- Each of two workers, and again after each second.
        assert.is_true(fleet:asked() - before <= 2 * (2 + math.ceil(run.now() - began)))
        assert.are.equal(0, fleet:count(key))
    end)

    it("falls back to the host's flight while Redis is away", function()
        server:kill()
        for _, site in ipairs(sites) do
            await("it is away", function()
                return site:eval("return cache:get('nothing')"):find("^nil 'redis")
            end)
        end
        local all = {}
        for i, site in ipairs(sites) do
            all[i] = site:send_to(site.workers[1], fleets.EACH, held("'value'"))
        end
        await("each has a loader", function() return fleet:count(key) == fleets.HOSTS end)
        fleet:go()
        fleet:answers(all)
        assert.are.equal(fleets.HOSTS, fleet:count(key))
    end)
end)
