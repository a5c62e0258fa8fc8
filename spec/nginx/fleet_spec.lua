-- One loader for three hosts (lock = "redis"): what it makes, all have.

local fetching = require "spec.support.fetching"
local fleets = require "spec.support.fleet"
local run = require "spec.support.run"

local await, await_stale = fleets.await, fleets.await_stale

local ALL = fleets.HOSTS * fleets.EACH -- requests of a crowd

describe("fetch, on three hosts with lock = \"redis\",", function()
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

    it("runs the loader once for a hundred and fifty misses", function()
        local taken, locks = fleet:sum("fleet_taken"), fleet:sum("fleet_locks")
        local all = fleet:crowd(key, held("'value'"))
        fleet:go()
        local said = fleet:answers(all)
        assert.are.equal(1, said["'value' nil 'loader'"])
        said["'value' nil 'loader'"] = nil
        local others = 0
        for answer, n in pairs(said) do
            assert.is_truthy(answer:find("^'value' nil '[mr]e[md]"), answer)
            others = others + n
        end
        assert.are.equal(ALL - 1, others)
        assert.are.equal(1, fleet:count(key))
        assert.are.equal(fleets.HOSTS - 1, fleet:sum("fleet_taken") - taken)
        assert.are.equal(1, fleet:sum("fleet_locks") - locks)
        await("the lock has gone", function() return not fleet:lock_of(key) end)
        assert.are.equal("value", server:call("GET", "f:" .. key))
    end)

    it("wakes the other hosts when it is done, and has them ask seldom before", function()
        local times = {}
        for i = 1, 5 do
            key = fleet:new_key()
            fleet:stop()
            local all = fleet:crowd(key, held("'value'"))
            local before, began = fleet:asked(), run.now()
            if i == 1 then
                run.wait_until("some time has passed", function() return run.now() > began + 1 end)
            end
            local since = run.now()
            fleet:go()
            fleet:answers(all)
            times[i] = run.now() - since
            -- Each host again when it is woken, and after each second; and the end of the lock.
            local most = 1 + (fleets.HOSTS - 1) * (3 + math.ceil(run.now() - began))
            assert.is_true(fleet:asked() - before <= most, fleet:asked() - before)
        end
        table.sort(times)
        assert.is_true(times[3] < 0.5, times[3])
    end)

    it("tells all hosts the error at once", function()
        local all = fleet:crowd(key, held("nil, 'no database'"))
        fleet:go()
        assert.are.same({ ["nil 'no database' nil"] = ALL }, fleet:answers(all))
        assert.are.equal(1, fleet:count(key))
        -- But not those who come later.
        for i, site in ipairs(sites) do
            assert.are.equal("nil 'again' nil", site:eval(fetch("quick, 'again', nil, 'again'")))
            assert.are.equal(i, fleet:count("again"))
        end
    end)

    it("tells all hosts that there is none, and each remembers it", function()
        local all = fleet:crowd(key, held())
        fleet:go()
        assert.are.same({ ["nil nil 'loader'"] = 1, ["nil nil 'negative'"] = ALL - 1 },
                        fleet:answers(all))
        for _, site in ipairs(sites) do
            assert.are.equal("nil nil 'negative'", site:eval(held()))
        end
        assert.are.equal(1, fleet:count(key))
    end)

    it("lets everybody load at once what is not to be kept", function()
        local all = fleet:crowd(key, held("'value', nil, -1"))
        fleet:go()
        assert.are.same({ ["'value' nil 'loader'"] = ALL }, fleet:answers(all))
        assert.are.equal(ALL, fleet:count(key))
    end)

    it("answers what is past its TTL while one host makes it anew", function()
        local refreshes = "refresh" .. key
        assert.are.equal("'old'", sites[1]:eval(fetch("quick, 'made', 'old'", "{ ttl = 0.05 }"))
                                          :match("^'old'"))
        for _, site in ipairs(sites) do
            await_stale(site, key)
            assert.are.equal("'old' nil 'stale'",
                             site:eval(fetch(("held, %q, 'new'"):format(refreshes))))
        end
        await("a loader runs", function() return fleet:count(refreshes) == 1 end)
        for _, site in ipairs(sites) do
            assert.are.equal("'old' nil 'stale'",
                             site:eval(fetch(("held, %q, 'new'"):format(refreshes))))
        end
        fleet:go()
        for _, site in ipairs(sites) do
            await("it is new", function()
                return site:eval(fetch(("held, %q, 'newer'"):format(refreshes)))
                           :find("^'new' nil '[mr]e")
            end)
        end
        assert.are.equal(1, fleet:count(refreshes))
    end)

    it("makes many keys once, each on the host that got it", function()
        local a, b, c = key .. "a", key .. "b", key .. "c"
        local first = sites[1]:send_to(sites[1].workers[1], 1,
            ("return cache:fetch(%q, held, %q, 'a1')"):format(a, a))[1]
        sites[1]:await(a, 1)
        local code = [[
            return cache:fetch_multi({ "$a", "$b", "$c" }, nil, function(keys)
                local made = {}
                for _, key in ipairs(keys) do
                    count(key)
                    made[key] = key:sub(-1) .. $n
                end
                held("$w")
                return made
            end)
        ]]
        local requests = {}
        for n = 2, 3 do
            requests[n] = sites[n]:send_to(sites[n].workers[1], 1,
                (code:gsub("%$(%w)", { a = a, b = b, c = c, n = n, w = "waits" .. key })))[1]
            sites[n]:await("entered", 1)
            await("they are shared out", function() return fleet:count("waits" .. key) == 1 end)
        end
        fleet:go()
        for n = 2, 3 do
            for answer in pairs(sites[n]:answers({ requests[n] })) do
                for i, name in ipairs({ a, b, c }) do
                    assert.is_truthy(answer:find(name .. "='" .. ("abc"):sub(i, i) .. math.min(i, 2)
                                                 .. "'", 1, true), answer)
                end
            end
        end
        sites[1]:answers({ first })
        for _, name in ipairs({ a, b, c }) do
            assert.are.equal(1, fleet:count(name))
        end
    end)

    -- One host loads, another waits for it; then both answer.  meanwhile(): before the other asks.
    local function two(results, opts, meanwhile)
        local first = sites[1]:send_to(sites[1].workers[1], 1, held(results, opts))[1]
        sites[1]:await(key, 1)
        if meanwhile then
            meanwhile()
        end
        local waits = sites[2]:counter("fleet_waits")
        local second = sites[2]:send_to(sites[2].workers[1], 1, held(results, opts))[1]
        sites[2]:await_counter("fleet_waits", waits + 1)
        fleet:go()
        sites[1]:answers({ first })
        return next(sites[2]:answers({ second }))
    end

    local function each_says(expected, n)
        for i = 1, n or 2 do
            local said = sites[i]:eval(fetch("quick, 'another', 'there now'"))
            assert.is_truthy(said:find(expected), said)
        end
    end

    it("does not have an absence remembered that a change has overtaken", function()
        local heard = "return cache:stats().tracking.invalidations"
        assert.are.equal("nil nil 'negative'", two(nil, nil, function()
            local before = tonumber(sites[1]:eval(heard))
            assert.are.equal("false", sites[2]:eval(("return cache:delete(%q)"):format(key)))
            await("the first has heard", function()
                return tonumber(sites[1]:eval(heard)) > before
            end)
        end))
        each_says("^'there now' nil '")
    end)

    it("has an absence remembered for no longer than its loader said", function()
        assert.are.equal("nil nil 'negative'", two("nil, nil, 0"))
        each_says("^'there now' nil '")
        key = key .. "b"
        fleet:stop()
        assert.are.equal("nil nil 'negative'", two("nil, nil, 0.2"))
        await("both have forgotten", function()
            for i = 1, 2 do
                if sites[i]:eval(("return cache:get(%q)"):format(key)):find("negative") then
                    return false
                end
            end
            return true
        end)
    end)

    it("makes a value anew before its end on one host only", function()
        for _, site in ipairs(sites) do -- a loader is known to take a while
            assert.is_truthy(site:eval(("return cache:fetch(%q, function() ngx.sleep(0.02)"
                .. " return 'x' end)"):format(key .. site.web:workers()[1])))
        end
        server:call("SET", "f:" .. key, "old", "PX", 200000)
        local opts, ran = "{ refresh_ahead = 1e9, ttl = 100 }", "early" .. key
        for _, site in ipairs(sites) do
            local before = site:counter("refreshes")
            await("one of its workers draws", function()
                local said = site:eval(("return cache:fetch(%q, %s, held, %q, 'new')")
                                       :format(key, opts, ran))
                assert.is_truthy(said:find("^'old' nil '[mr]e"), said)
                return site:counter("refreshes") > before and fleet:count(ran) > 0
            end)
        end
        fleet:go()
        await("it is new", function() return server:call("GET", "f:" .. key) == "new" end)
        await("all have ended", function() return not fleet:lock_of(key) end)
        assert.are.equal(1, fleet:count(ran))
    end)

    it("counts what it loads as loaded, and what another host has made as taken", function()
        local function counts()
            return sites[2]:counter("loads") .. " " .. sites[2]:counter("fleet_taken")
        end
        local function after(loads, taken, fn)
            local l, t = counts():match("(%d+) (%d+)")
            fn()
            assert.are.equal((l + loads) .. " " .. (t + taken), counts())
        end
        after(0, 1, function() two("'value'") end)
        key = key .. "b"
        sites[1]:stop()
        sites[2]:stop()
        after(1, 0, function() two("'value', nil, -1") end) -- not to be kept: all load
        key = key .. "c"
        fleet:lock_away(key)
        after(1, 0, function() -- what is set and deleted while it waits is not held against it
            local waits = sites[2]:counter("fleet_waits")
            local one = sites[2]:send_to(sites[2].workers[1], 1,
                                         fetch("quick, 'late', 'value'", "{ lock_timeout = 3 }"))
            sites[2]:await_counter("fleet_waits", waits + 1)
            sites[1]:eval(("cache:set(%q, 'x') cache:delete(%q)"):format(key, key))
            sites[2]:answers(one)
            assert.are.equal("value", server:call("GET", "f:" .. key))
        end)
    end)

    it("takes for many keys what another host has left of them", function()
        local a, b = key .. "a", key .. "b"
        local first = sites[1]:send_to(sites[1].workers[1], 1,
            ("return cache:fetch(%q, held, %q)"):format(a, a))[1]
        sites[1]:await(a, 1)
        local second = sites[2]:send_to(sites[2].workers[1], 1, ([[
            return cache:fetch_multi({ %q, %q }, nil, function(keys)
                held(table.concat(keys, " "))
                return { [%q] = "b" }
            end)
        ]]):format(a, b, b))[1]
        sites[2]:await(b, 1)
        sites[1]:go()
        sites[1]:answers({ first })
        await("it is left", function() return (fleet:lock_of(a) or ""):sub(1, 1) == "e" end)
        sites[2]:go()
        assert.are.same({ ["{" .. b .. "='b'} nil"] = 1 }, sites[2]:answers({ second }))
        assert.are.equal(0, sites[2]:count(a))
        assert.are.equal("nil nil 'negative'", sites[2]:eval(("return cache:get(%q)"):format(a)))
    end)
end)
