-- Values past their time to live, or near it: answered while one loader makes them anew.

local fetching = require "spec.support.fetching"
local run = require "spec.support.run"

describe("fetch of a value past its TTL", function()
    local site, one, two, key

    setup(function()
        site = fetching.start("stale_ttl = 600, lock_timeout = 60, hard_timeout = 60", {
            server = [[
                location = /logged {
                    return 200 "ok";
                    log_by_lua_block { said = { cache:fetch(ngx.var.arg_key, quick, "log", "no") } }
                }
                location = /filtered {
                    content_by_lua_block { ngx.say("x") }
                    header_filter_by_lua_block {
                        ngx.header["X-Said"] = require("spec.support.show")(
                            cache:fetch(ngx.var.arg_key, quick, "filter", "new"))
                    }
                }
            ]],
        })
    end)
    teardown(function()
        site.web:quit()
        run.cleanup()
    end)

    local n = 0
    before_each(function()
        n = n + 1
        key = "key" .. n
        site:stop()
        local workers = site.web:workers()
        one, two = workers[1], workers[2]
    end)

    -- Stores a value, and waits until it is past its TTL.
    local function stale(value)
        site:eval(("cache:set(%q, %q, 0.05)"):format(key, value or "old"))
        run.wait_until("it is past its TTL", function()
            return site:eval(("return (cache:peek(%q))"):format(key)) == "nil"
        end)
    end

    local function fetch(loader, opts)
        return fetching.code(key, loader, opts)
    end

    local function held(results, opts)
        return fetching.held(key, results, opts)
    end

    local function await_value(value)
        run.wait_until("it is made anew", function()
            return site:eval(("return (cache:get(%q))"):format(key)) == "'" .. value .. "'"
        end)
    end

    it("answers it at once, and one loader makes a new one", function()
        stale()
        assert.are.equal("nil nil nil", site:eval(("return cache:get(%q)"):format(key)))
        local requests = site:send_to(one, 20, held("'new'"))
        for _, request in ipairs(site:send_to(two, 20, held("'new'"))) do
            requests[#requests + 1] = request
        end
        -- None of them waits for the loader, which is held.
        assert.are.same({ ["'old' nil 'stale'"] = 40 }, site:answers(requests))
        assert.are.equal("'old' nil 'stale'", site:eval(held("'new'")))
        site:go()
        await_value("new")
        assert.are.equal(1, site:count(key))
        assert.are.equal("'new' nil 'memory'", site:eval(held("'no'")))
    end)

    it("runs that loader where there is no request", function()
        stale()
        site:eval(fetch([[function(what)
            return ngx.get_phase() .. " " .. tostring((pcall(function() return ngx.var.uri end)))
                .. what
        end, "!"]]))
        await_value("timer false!")
    end)

    it("goes on answering it while the loader fails, and does not try all the time", function()
        stale()
        local failing, began = fetch(("quick, %q, nil, 'down'"):format(key)), run.now()
        assert.are.same({ ["'old' nil 'stale'"] = 50 },
                        site:answers(site:send_to(one, 50, failing)))
        site:await(key, 1)
        run.wait_until("it is logged", function()
            return site.web:logged('a refresh has failed: down') > 0
        end)
        for _ = 1, 50 do
            assert.are.equal("'old' nil 'stale'", site:eval(failing))
        end
        local tries = site:count(key) -- once a second in each of two workers
        assert.is_true(tries <= 2 * (run.now() - began + 1), tries)
        run.wait_until("it is tried again", function()
            site:eval(fetch(("quick, %q, 'up'"):format(key)))
            return site:eval(("return (cache:get(%q))"):format(key)) == "'up'"
        end)
    end)

    it("survives a refresh that throws, or takes too long", function()
        stale()
        assert.are.equal("'old' nil 'stale'", site:eval(fetch("function() error('oh') end")))
        run.wait_until("it is logged", function()
            return site.web:logged('refresh has failed: the loader of key "' .. key
                                   .. '" raised: eval:1: oh') > 0
        end)
        key = key .. "."
        stale()
        assert.are.equal("'old' nil 'stale'", site:eval(held("'no'", "{ hard_timeout = 0.05 }")))
        run.wait_until("it is logged", function() -- once a second at most
            site:eval(held("'no'", "{ hard_timeout = 0.05 }"))
            return site.web:logged('key "' .. key .. '" took longer than hard_timeout, 0.05 s') > 0
        end)
        run.wait_until("a loader is run again", function()
            site:eval(fetch("quick, 'again', 'new'"))
            return site:eval(("return (cache:get(%q))"):format(key)) == "'new'"
        end)
    end)

    it("waits soft_timeout for the new one", function()
        stale()
        local requests = site:send_to(one, 5, held("'new'", "{ soft_timeout = 50 }"))
        for _, request in ipairs(site:send_to(two, 5, held("'new'", "{ soft_timeout = 50 }"))) do
            requests[#requests + 1] = request
        end
        site:await(key, 1)
        for _, request in ipairs(requests) do
            assert.is_true(request:is_waiting())
        end
        site:go()
        assert.are.same({ ["'new' nil 'memory'"] = 10 }, site:answers(requests))
        assert.are.equal(1, site:count(key))
    end)

    it("and no longer: the loader goes on, and what it makes is kept", function()
        stale()
        local requests = site:send_to(one, 5, held("'new'", "{ soft_timeout = 0.05 }"))
        for _, request in ipairs(site:send_to(two, 5, held("'new'", "{ soft_timeout = 0.05 }"))) do
            requests[#requests + 1] = request
        end
        assert.are.same({ ["'old' nil 'stale'"] = 10 }, site:answers(requests))
        site:go()
        await_value("new")
        assert.are.equal(1, site:count(key))
    end)

    it("goes on when the worker that makes it anew is killed", function()
        stale()
        site:answers(site:send_to(one, 1, held("'new'")))
        site:await(key, 1)
        site.web:kill_worker(one)
        run.wait_until("another one does", function()
            assert.are.equal("'old' nil 'stale'", site:eval(held("'new'")))
            return site:count(key) == 2
        end)
        site:go()
        await_value("new")
    end)

    it("loads when a smaller stale_ttl of the call has passed", function()
        stale()
        assert.are.equal("'new' nil 'loader'",
                         site:eval(fetch("quick, 'small', 'new'", "{ stale_ttl = 0 }")))
    end)

    it("answers it where nothing may wait, and makes it anew in a timer", function()
        stale()
        local answer = site.web:get("/filtered?key=" .. key)
        assert.are.equal("'old' nil 'stale'", answer.headers["x-said"])
        await_value("new")
        key = key .. "."
        answer = site.web:get("/filtered?key=" .. key)
        assert.are.equal("nil 'the loader cannot be run in phase header_filter'",
                         answer.headers["x-said"])
    end)

    it("is bounded in what it makes anew at a time", function()
        site:eval([[for i = 1, 200 do cache:set("one of many" .. i, "old", 0.05) end]])
        run.wait_until("they are past their TTL", function()
            return site:eval([[return (cache:peek("one of many200"))]]) == "nil"
        end)
        assert.are.equal("200", site.web:eval_in(one, [[
            local stale = 0
            for i = 1, 200 do
                local value, _, tier = cache:fetch("one of many" .. i, held, "bound", "new")
                stale = stale + (value == "old" and tier == "stale" and 1 or 0)
            end
            return stale
        ]]))
        site:await("bound", 64)
        assert.are.equal(64, site:count("bound"))
        site:go()
        run.wait_until("all are made anew", function()
            return site.web:eval_in(one, [[
                local new = 0
                for i = 1, 200 do
                    local value = cache:fetch("one of many" .. i, held, "bound", "new")
                    new = new + (value == "new" and 1 or 0)
                end
                return new
            ]]) == "200"
        end, 30)
        assert.are.equal(200, site:count("bound"))
    end)
end)

describe("fetch with refresh_ahead", function()
    local site

    setup(function()
        -- With such a beta every draw reaches the end.
        site = fetching.start("ttl = 600, refresh_ahead = 1e12, lock_timeout = 60")
    end)
    teardown(function()
        site.web:quit()
        run.cleanup()
    end)

    it("makes a value anew before its end, once, and answers the old one meanwhile", function()
        site:eval([[
            signals:set("go", "1")
            return cache:fetch("key", function() ngx.sleep(0.02) return "first" end)
        ]])
        site:stop()
        local one, two = site.workers[1], site.workers[2]
        -- How long loaders take is known to the worker that has run one.
        for _, worker in ipairs({ one, two }) do
            site.web:eval_in(worker, [[cache:fetch("warm" .. ngx.worker.pid(), function()
                ngx.sleep(0.02)
                return "x"
            end)]])
        end
        local code = "return cache:fetch('key', held, 'key', 'second')"
        local requests = site:send_to(one, 20, code)
        for _, request in ipairs(site:send_to(two, 20, code)) do
            requests[#requests + 1] = request
        end
        assert.are.same({ ["'first' nil 'memory'"] = 40 }, site:answers(requests))
        site:await("key", 1)
        assert.are.equal(1, site:count("key"))
        site:go()
        run.wait_until("it is new", function()
            return site:eval("return (cache:get('key'))") == "'second'"
        end)
    end)

    it("leaves alone what never ends, and what other calls say", function()
        assert.are.equal("'v' nil 'loader'",
                         site:eval("return cache:fetch('ever', { ttl = 0 }, quick, 'ever', 'v')"))
        for _ = 1, 10 do
            site:eval("return cache:fetch('ever', quick, 'ever', 'w')")
        end
        assert.are.equal(1, site:count("ever"))
        site:eval("return cache:fetch('off', quick, 'off', 'v')")
        for _ = 1, 10 do
            assert.are.equal("'v' nil 'memory'", site:eval(
                "return cache:fetch('off', { refresh_ahead = 0 }, quick, 'off', 'w')"))
        end
        assert.are.equal(1, site:count("off"))
    end)

    it("says nothing in the log", function()
        assert.are.same({}, site.web:problems())
    end)
end)
