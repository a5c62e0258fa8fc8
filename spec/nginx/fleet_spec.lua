-- One loader for three hosts (lock = "redis"): nginxes of two workers each, with one Redis.

local fetching = require "spec.support.fetching"
local redis = require "spec.support.redis"
local run = require "spec.support.run"
local signal = require "posix.signal"

local HOSTS = 3
local EACH = 50

describe("fetch, on three hosts with lock = \"redis\",", function()
    local server, sites, key, number

    setup(function()
        server = redis.start()
        sites = {}
        for i = 1, HOSTS do
            sites[i] = fetching.start(([[
                redis = %q, prefix = "f:", lock = "redis", timeout = 4, max_stale = 10,
                stale_ttl = 100, lock_timeout = 60, hard_timeout = 60, neg_ttl = 600
            ]]):format(server:url()))
        end
        number = 0
    end)
    teardown(function()
        for _, site in ipairs(sites) do
            site.web:quit()
        end
        run.cleanup()
    end)
    before_each(function()
        server:mend()
        number = number + 1
        key = "key" .. number
        for _, site in ipairs(sites) do
            site:stop()
            run.wait_until("its link is up", function()
                return site:eval("cache:get('a') return cache:stats().tracking.state") == "'on'"
            end)
        end
    end)

    local function fetch(loader, opts)
        return fetching.code(key, loader, opts)
    end

    local function held(results, opts)
        return fetching.held(key, results, opts)
    end

    -- What all hosts have counted as this name.
    local function count(name)
        local sum = 0
        for _, site in ipairs(sites) do
            sum = sum + site:count(name or key)
        end
        return sum
    end

    local function await(what, condition)
        run.wait_until(what, condition, 30)
    end

    local function sum(counter)
        local total = 0
        for _, site in ipairs(sites) do
            total = total + site:counter(counter)
        end
        return total
    end

    local function lock_of(name)
        return server:call("GET", "f:#tandem:lock:" .. (name or key))
    end

    -- EACH requests to every host, half of them to each worker; all wait when it returns, and one
    -- loader runs.  Returns the requests, a table for each host.
    local function crowd(code)
        local before, joined, all = sum("fleet_waits"), sum("joined"), {}
        for i, site in ipairs(sites) do
            all[i] = site:send_to(site.workers[1], EACH / 2, code)
            for _, request in ipairs(site:send_to(site.workers[2], EACH / 2, code)) do
                all[i][#all[i] + 1] = request
            end
        end
        await("a loader runs", function() return count() > 0 end)
        await("the other hosts wait", function()
            return sum("fleet_waits") >= before + HOSTS - 1
        end)
        await("on each host all wait for one", function()
            return sum("joined") >= joined + HOSTS * (EACH - 1)
        end)
        return all
    end

    local function go()
        for _, site in ipairs(sites) do
            site:go()
        end
    end

    -- How many requests got which answer.
    local function answers(all)
        local said = {}
        for i, requests in ipairs(all) do
            for answer, n in pairs(sites[i]:answers(requests)) do
                said[answer] = (said[answer] or 0) + n
            end
        end
        return said
    end

    it("runs the loader once for a hundred and fifty misses", function()
        local taken, locks = sum("fleet_taken"), sum("fleet_locks")
        local all = crowd(held("'value'"))
        go()
        local said = answers(all)
        assert.are.equal(1, said["'value' nil 'loader'"])
        said["'value' nil 'loader'"] = nil
        local others = 0
        for answer, n in pairs(said) do
            assert.is_truthy(answer:find("^'value' nil '[mr]e[md]"), answer)
            others = others + n
        end
        assert.are.equal(HOSTS * EACH - 1, others)
        assert.are.equal(1, count())
        assert.are.equal(HOSTS - 1, sum("fleet_taken") - taken)
        assert.are.equal(1, sum("fleet_locks") - locks)
        await("the lock has gone", function() return not lock_of() end)
        assert.are.equal("value", server:call("GET", "f:" .. key))
    end)

    it("wakes the other hosts when it is done, and has them ask seldom before", function()
        local function asked()
            return tonumber(server:call("INFO", "commandstats"):match("cmdstat_eval:calls=(%d+)"))
        end
        local times = {}
        for i = 1, 5 do
            number = number + 1
            key = "key" .. number
            for _, site in ipairs(sites) do
                site:stop()
            end
            local all = crowd(held("'value'"))
            local before, began = asked(), run.now()
            if i == 1 then
                run.wait_until("some time has passed", function() return run.now() > began + 1 end)
            end
            local since = run.now()
            go()
            answers(all)
            times[i] = run.now() - since
            -- Each host again when it is woken, and after each second; and the end of the lock.
            local most = 1 + (HOSTS - 1) * (3 + math.ceil(run.now() - began))
            assert.is_true(asked() - before <= most, asked() - before)
        end
        table.sort(times)
        assert.is_true(times[3] < 0.5, times[3])
    end)

    it("tells all hosts the error at once", function()
        local all = crowd(held("nil, 'no database'"))
        go()
        assert.are.same({ ["nil 'no database' nil"] = HOSTS * EACH }, answers(all))
        assert.are.equal(1, count())
        -- But not those who come later.
        for i, site in ipairs(sites) do
            assert.are.equal("nil 'again' nil", site:eval(fetch("quick, 'again', nil, 'again'")))
            assert.are.equal(i, count("again"))
        end
    end)

    it("tells all hosts that there is none, and each remembers it", function()
        local all = crowd(held())
        go()
        assert.are.same({ ["nil nil 'loader'"] = 1, ["nil nil 'negative'"] = HOSTS * EACH - 1 },
                        answers(all))
        for _, site in ipairs(sites) do
            assert.are.equal("nil nil 'negative'", site:eval(held()))
        end
        assert.are.equal(1, count())
    end)

    it("lets everybody load at once what is not to be kept", function()
        local all = crowd(held("'value', nil, -1"))
        go()
        assert.are.same({ ["'value' nil 'loader'"] = HOSTS * EACH }, answers(all))
        assert.are.equal(HOSTS * EACH, count())
    end)

    it("has another host load when the worker that did is killed", function()
        local opts = "{ hard_timeout = 0.5 }"
        local function kept(site)
            return site:send_to(site.workers[1], 1, held("'value'", opts))[1]
        end
        local lost = sites[1]:send_to(sites[1].workers[1], 1, held("'lost'", opts))[1]
        sites[1]:await(key, 1)
        local other = kept(sites[2])
        await("the other host waits", function() return sites[2]:counter("fleet_waits") > 0 end)
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
        assert.are.equal(1, count("late"))
        -- What that has stored is the answer of all who wait.
        assert.are.equal("'second'", sites[3]:eval(held("'third'")):match("^'second'"))
        sites[1]:go()
        sites[1]:answers({ first })
        assert.are.equal(1, count())
        assert.are.equal("second", server:call("GET", "f:" .. key))
    end)

    -- Past its TTL on a host, by the clock of hits, too, which is late.
    local function await_stale(site)
        await("it is stale", function()
            local left = site:eval(("cache:get(%q) return (cache:peek(%q, { stale = true }))")
                                   :format(key, key))
            return (tonumber(left) or 0) < -0.05
        end)
    end

    it("answers what is past its TTL while one host makes it anew", function()
        local refreshes = "refresh" .. number
        assert.are.equal("'old'", sites[1]:eval(fetch("quick, 'made', 'old'", "{ ttl = 0.05 }"))
                                          :match("^'old'"))
        for _, site in ipairs(sites) do
            await_stale(site)
            assert.are.equal("'old' nil 'stale'",
                             site:eval(fetch(("held, %q, 'new'"):format(refreshes))))
        end
        await("a loader runs", function() return count(refreshes) == 1 end)
        for _, site in ipairs(sites) do
            assert.are.equal("'old' nil 'stale'",
                             site:eval(fetch(("held, %q, 'new'"):format(refreshes))))
        end
        go()
        for _, site in ipairs(sites) do
            await("it is new", function()
                return site:eval(fetch(("held, %q, 'newer'"):format(refreshes)))
                           :find("^'new' nil '[mr]e")
            end)
        end
        assert.are.equal(1, count(refreshes))
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
            await("they are shared out", function() return count("waits" .. key) == 1 end)
        end
        go()
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
            assert.are.equal(1, count(name))
        end
    end)

    -- As of a host that has died.
    local function lock_away(name)
        server:call("SET", "f:#tandem:lock:" .. (name or key), "h0123456789abcdef", "PX", 100000)
    end

    -- The answer of Lua text, and how long it took.
    local function timed(site, code)
        local began = run.now()
        return site:eval(code), run.now() - began
    end

    it("runs one loader on each host when the host that has the lock has died", function()
        lock_away()
        local opts, all = "{ lock_timeout = 3 }", {}
        for i, site in ipairs(sites) do
            all[i] = site:send_to(site.workers[1], 10, held("'value'", opts))
        end
        await("each has a loader", function() return count() == HOSTS end)
        go()
        local said = answers(all)
        assert.are.equal(HOSTS, count())
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
        server:call("SET", "f:#tandem:lock:" .. key, "h0123456789abcdef", "PX", 100000)
        go()
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
        await("the lock says so", function() return (lock_of() or ""):sub(1, 1) == "e" end)
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
        await("the lock has gone", function() return not lock_of() end)
    end)

    it("lets go of the lock when the request that waits for it is killed", function()
        lock_away()
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
        go()
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
        for _, site in ipairs(sites) do
            site:stop()
        end
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
            await("one of its workers draws", function()
                local said = site:eval(("return cache:fetch(%q, %s, held, %q, 'new')")
                                       :format(key, opts, ran))
                assert.is_truthy(said:find("^'old' nil '[mr]e"), said)
                return sum("refreshes") > 0 and count(ran) > 0
            end)
        end
        go()
        await("it is new", function() return server:call("GET", "f:" .. key) == "new" end)
        await("all have ended", function() return not lock_of() end)
        assert.are.equal(1, count(ran))
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
        lock_away()
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
        await("it is left", function() return (lock_of(a) or ""):sub(1, 1) == "e" end)
        sites[2]:go()
        assert.are.same({ ["{" .. b .. "='b'} nil"] = 1 }, sites[2]:answers({ second }))
        assert.are.equal(0, sites[2]:count(a))
        assert.are.equal("nil nil 'negative'", sites[2]:eval(("return cache:get(%q)"):format(a)))
    end)

    it("does not ask with every call while another host makes what is past its TTL", function()
        sites[1]:eval(("cache:set(%q, 'old', 0.05)"):format(key))
        await_stale(sites[1])
        lock_away()
        local function asked()
            return tonumber(server:call("INFO", "commandstats"):match("cmdstat_eval:calls=(%d+)"))
        end
        local before, began = asked(), run.now()
        for _ = 1, 20 do
            assert.are.equal("'old' nil 'stale'", sites[1]:eval(held("'new'")))
            sites[1]:eval(("return cache:fetch_multi({ %q }, nil, function() return {} end)")
                          :format(key))
        end
        -- Each of two workers, and again after each second.
        assert.is_true(asked() - before <= 2 * (2 + math.ceil(run.now() - began)))
        assert.are.equal(0, count())
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
            all[i] = site:send_to(site.workers[1], EACH, held("'value'"))
        end
        await("each has a loader", function() return count() == HOSTS end)
        go()
        answers(all)
        assert.are.equal(HOSTS, count())
    end)
end)
