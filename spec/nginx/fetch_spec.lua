-- Loaders run once for all who ask meanwhile, in whichever worker, whatever becomes of who runs
-- them.

local fetching = require "spec.support.fetching"
local http = require "spec.support.http"
local nginx = require "spec.support.nginx"
local run = require "spec.support.run"
local signal = require "posix.signal"

describe("fetch, in two workers,", function()
    local site, one, two, key

    setup(function()
        site = fetching.start("lock_timeout = 60, hard_timeout = 60, neg_ttl = 600")
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

    -- A fetch of the test's key by this loader; opts as Lua text.
    local function fetch(loader, opts)
        return fetching.code(key, loader, opts)
    end

    local function held(results, opts)
        return fetching.held(key, results, opts)
    end

    -- Fifty requests in each worker, all waiting for the one loader.
    local function hundred(code)
        local requests = site:send_to(one, 50, code)
        site:await(key, 1)
        for _, request in ipairs(site:send_to(two, 50, code)) do
            requests[#requests + 1] = request
        end
        return requests
    end

    -- Hits and misses that stats() tells.
    local function lookups()
        local hits, misses = site:eval("local s = cache:stats() return s.hits, s.misses")
            :match("^(%d+) (%d+)$")
        return tonumber(hits), tonumber(misses)
    end

    it("runs the loader once for a hundred misses", function()
        local hits, misses = lookups()
        local requests = hundred(held("'value'"))
        for _, request in ipairs(requests) do
            assert.is_true(request:is_waiting())
        end
        site:go()
        assert.are.same({ ["'value' nil 'loader'"] = 1, ["'value' nil 'memory'"] = 99 },
                        site:answers(requests))
        assert.are.equal(1, site:count(key))
        local hits_now, misses_now = lookups()
        assert.are.same({ 0, 100 }, { hits_now - hits, misses_now - misses })
    end)

    it("tells everybody the error at once", function()
        local requests = hundred(held("nil, 'no database'"))
        site:go()
        assert.are.same({ ["nil 'no database' nil"] = 100 }, site:answers(requests))
        assert.are.equal(1, site:count(key))
        assert.are.equal("'v' nil 'loader'", site:eval(fetch("quick, 'again', 'v'")))
    end)

    it("tells everybody that there is none, and remembers it", function()
        local requests = hundred(held())
        site:go()
        assert.are.same({ ["nil nil 'loader'"] = 1, ["nil nil 'negative'"] = 99 },
                        site:answers(requests))
        assert.are.equal("nil nil 'negative'", site:eval(held()))
        assert.are.equal("nil nil 'negative'", site:eval(("return cache:get(%q)"):format(key)))
        assert.are.equal(1, site:count(key))
        site:eval(("cache:set(%q, 'now')"):format(key))
        assert.are.equal("'now' nil 'memory'", site:eval(held()))
    end)

    it("lets everybody load at once what is not to be kept", function()
        local requests = hundred(held("'value', nil, -1"))
        site:go()
        assert.are.same({ ["'value' nil 'loader'"] = 100 }, site:answers(requests))
        assert.are.equal(100, site:count(key))
    end)

    it("survives a loader that throws, whatever it throws", function()
        local requests = hundred(fetch(("function() held(%q) error('out of cheese') end")
                                       :format(key)))
        site:go()
        for answer in pairs(site:answers(requests)) do
            assert.is_truthy(answer:find("^nil 'the loader of key \"" .. key .. "\" raised: eval:1:"
                                         .. " out of cheese\\x0astack traceback:"), answer)
        end
        assert.are.equal(1, site:count(key))
        local said = site:eval(fetch("function() error({ 1 }) end"))
        assert.is_truthy(said:find('raised: table: 0x', 1, true), said)
        said = site:eval(fetch("function() error(setmetatable({}, { __tostring = error })) end"))
        assert.is_truthy(said:find('raised: an error that is a table', 1, true), said)
        said = site:eval(fetch("function() error() end"))
        assert.is_truthy(said:find('raised: nil', 1, true), said)
        assert.are.equal("'v' nil 'loader'", site:eval(fetch("quick, 'again', 'v'")))
    end)

    it("ends a loader that never returns", function()
        local requests = site:send_to(one, 5, fetch(
            ("function() count(%q) while true do ngx.sleep(0.01) end end"):format(key),
            "{ hard_timeout = 0.3 }"))
        for _, request in ipairs(site:send_to(two, 5, held("'v'"))) do
            requests[#requests + 1] = request
        end
        local answers, total = site:answers(requests), 0
        for answer, times in pairs(answers) do
            -- Those of the other worker may have come when it was over, and then have a loader.
            if answer ~= "'v' nil 'loader'" and answer ~= "'v' nil 'memory'" then
                assert.are.equal("nil 'the loader of key \"" .. key
                                 .. "\" took longer than hard_timeout, 0.3 s' nil", answer)
                total = total + times
            end
        end
        assert.is_true(total >= 5, total)
        site:go()
        assert.are.equal("'v' nil", site:eval(fetch("quick, 'again', 'v'")):match("^'v' nil"))
    end)

    it("goes on when the worker with the loader is killed", function()
        local mine = site:send_to(one, 3, held("'value'"))
        site:await(key, 1)
        local theirs = site:send_to(two, 10, held("'value'"))
        site.web:kill_worker(one)
        site:await(key, 2)
        site:go()
        assert.are.same({ ["'value' nil 'loader'"] = 1, ["'value' nil 'memory'"] = 9 },
                        site:answers(theirs))
        assert.are.equal(2, site:count(key))
        http.finish(mine, 5)
        for _, request in ipairs(mine) do
            assert.is_nil(request.status)
        end
    end)

    it("goes on without the worker with the loader when that is stopped", function()
        local mine = site:send_to(one, 3, held("'value'"))
        site:await(key, 1)
        local theirs = site:send_to(two, 10, held("'value'", "{ lock_timeout = 0.5 }"))
        fetching.freeze(one)
        site:await(key, 2)
        site:go()
        local answers, total = site:answers(theirs), 0
        for answer, times in pairs(answers) do
            assert.is_truthy(answer:find("^'value' nil '%l+'$"), answer)
            total = total + times
        end
        assert.are.equal(10, total)
        fetching.thaw(one)
        for answer in pairs(site:answers(mine)) do
            assert.is_truthy(answer:find("^'value' nil '%l+'$"), answer)
        end
    end)

    it("goes on when the client of who runs the loader goes away", function()
        local owner = site:send_to(one, 1, held("'value'"))[1]
        site:await(key, 1)
        local waiting = site:send_to(one, 5, held("'value'"))
        for _, request in ipairs(site:send_to(two, 5, held("'value'"))) do
            waiting[#waiting + 1] = request
        end
        owner:abort()
        site:await(key, 2)
        site:go()
        assert.are.same({ ["'value' nil 'loader'"] = 1, ["'value' nil 'memory'"] = 9 },
                        site:answers(waiting))
        assert.are.equal(2, site:count(key))
    end)

    it("goes on when the loader's light thread is killed, or its request ends", function()
        for _, ending in ipairs({ "ngx.thread.kill(thread)", "ngx.exit(200)" }) do
            key = key .. "."
            local owner = site:send_to(one, 1, ([[
                local thread = ngx.thread.spawn(function()
                    return cache:fetch(%q, held, %q, 'value')
                end)
                while not signals:get("end it " .. %q) do ngx.sleep(0.005) end
                %s
            ]]):format(key, key, key, ending))
            site:await(key, 1)
            local waiting = site:send_to(two, 5, held("'value'"))
            site:eval(("signals:set('end it ' .. %q, '1')"):format(key))
            site:await(key, 2)
            site:go()
            assert.are.same({ ["'value' nil 'loader'"] = 1, ["'value' nil 'memory'"] = 4 },
                            site:answers(waiting))
            site:answers(owner)
            site:stop()
        end
    end)

    it("goes on when a loader ends its request", function()
        local owner = site:send_to(one, 1, fetch(("function() held(%q) ngx.exit(204) end")
                                                 :format(key)))
        site:await(key, 1)
        local waiting = site:send_to(two, 3, fetch(("quick, %q, 'value'"):format(key)))
        site:go()
        assert.are.same({ ["'value' nil 'loader'"] = 1, ["'value' nil 'memory'"] = 2 },
                        site:answers(waiting))
        site:answers(owner)
    end)

    it("loads beside the other when that takes longer than lock_timeout", function()
        local slow = site:send_to(one, 1, held("'slow'"))
        site:await(key, 1)
        local quick = site:send_to(two, 3, fetch(("quick, %q, 'quick'"):format(key),
                                                 "{ lock_timeout = 0.1 }"))
        for answer in pairs(site:answers(quick)) do
            assert.is_truthy(answer:find("^'quick' nil '%l+'$"), answer)
        end
        assert.is_true(site:counter("lock_timeouts") >= 1)
        site:go()
        assert.are.same(1, #http.finish(slow))
        -- Whichever was kept, it is one of them, and everybody's.
        local now = site:eval(("return (cache:get(%q))"):format(key))
        assert.is_true(now == "'quick'" or now == "'slow'", now)
    end)

    it("does not keep what a change overtook", function()
        local slow = site:send_to(one, 1, held("'old'"))
        site:await(key, 1)
        site:eval(("cache:set(%q, 'new')"):format(key))
        site:go()
        assert.are.same({ ["'old' nil 'loader'"] = 1 }, site:answers(slow))
        assert.are.equal("'new' nil 'memory'", site:eval(held()))

        site:stop()
        key = key .. "."
        slow = site:send_to(one, 1, held("'old'"))
        site:await(key, 1)
        site:eval(("cache:delete(%q)"):format(key))
        site:go()
        assert.are.same({ ["'old' nil 'loader'"] = 1 }, site:answers(slow))
        assert.are.equal("nil nil nil", site:eval(("return cache:get(%q)"):format(key)))
    end)

    it("tells a loader that it fetches itself", function()
        local itself = 'nil \'the loader of key "' .. key .. '" fetches that key itself\' nil'
        assert.are.equal(itself, site:eval(fetch(
            ("function() return cache:fetch(%q, quick, 'no') end"):format(key))))
        -- With another key's loader in between.
        assert.are.equal(itself, site:eval(fetch(([[function()
            return cache:fetch(%q .. "between", function()
                return cache:fetch(%q, quick, 'no')
            end)
        end]]):format(key, key))))
        -- Another one is none of its business.
        assert.are.equal("'inner' nil 'loader'", site:eval(fetch(([[function()
            return cache:fetch(%q .. "inner", quick, 'yes', 'inner')
        end]]):format(key))))
    end)

    it("gives the loader its request, and its arguments", function()
        assert.are.equal("'3 1 nil 3 /eval kept' nil 'loader'", site:eval("ngx.ctx.kept = 'kept' "
            .. fetch([[function(...)
                ngx.sleep(0.001)
                local a, b, c = ...
                return table.concat({ select("#", ...), a, tostring(b), c, ngx.var.uri,
                                      ngx.ctx.kept }, " ")
            end, 1, nil, 3]])))
    end)

    it("works in coroutines, light threads, pcall and timers", function()
        local code = ([[
            local function get(suffix)
                return cache:fetch(%q .. suffix, held, %q, suffix)
            end
            signals:set("go", "1")
            local said = {}
            local co = coroutine.create(get)
            said[1] = { coroutine.resume(co, "coroutine") }
            said[2] = { ngx.thread.wait(ngx.thread.spawn(get, "thread")) }
            said[3] = { pcall(get, "pcall") }
            local wrapped = coroutine.wrap(function()
                coroutine.yield(1)
                return get("wrap")
            end)
            wrapped()
            said[4] = { true, wrapped() }
            local sema, in_timer = require("ngx.semaphore").new(0)
            ngx.timer.at(0, function()
                in_timer = { true, get("timer") }
                sema:post(1)
            end)
            sema:wait(20)
            said[5] = in_timer
            return said
        ]]):format(key, key)
        local expected = {}
        for i, name in ipairs({ "coroutine", "thread", "pcall", "wrap", "timer" }) do
            expected[i] = "{true, '" .. name .. "', [4]='loader'}"
        end
        assert.are.equal("{" .. table.concat(expected, ", ") .. "}", site:eval(code))
    end)

    it("does not load where code cannot wait", function()
        local said = site:eval(([[
            local said
            table.sort({ 2, 1 }, function(a, b)
                said = said or { cache:fetch(%q, quick, "no", "v") }
                return a < b
            end)
            return said[1], said[2]
        ]]):format(key))
        assert.are.equal("nil 'the loader cannot be run where the code cannot yield, as in a sort"
                         .. " comparator, a gsub callback or the top level of a module'", said)
        assert.are.equal(0, site:count("no"))
    end)

    it("leaves nothing behind", function()
        local code = [[
            for i = 1, 5000 do
                cache:fetch("many" .. i, function() ngx.sleep(0) return "value" end)
                cache:fetch("many" .. i, function() return "value" end)
            end
            collectgarbage()
            collectgarbage()
            return collectgarbage("count")
        ]]
        local before = tonumber(site.web:eval_in(one, code))
        local after = tonumber(site.web:eval_in(one, "cache:clear() " .. code))
        assert.is_true(after - before < 400, before .. " KB, then " .. after)
        run.wait_until("nothing is pending", function()
            return site:eval([[return require("resty.tandem.lib").C.tandem_pending(
                require("resty.tandem.host").mailbox())]]) == "0"
        end)
    end)

    it("says nothing in the log but of killed workers", function()
        assert.are.same({}, site.web:problems({ "exited on signal 9" }))
    end)
end)

describe("fetch", function()
    teardown(run.cleanup)

    it("works where each request has a Lua VM of its own", function()
        local web = nginx.start({
            code_cache = false, workers = 1,
            init = [[assert(require("resty.tandem").new("web", { memory = "2m" }))]],
        })
        local code = [[
            local cache = assert(require("resty.tandem").new("web", { memory = "2m" }))
            return cache:fetch("key", { hard_timeout = 20 }, function()
                ngx.sleep(0.05)
                return "value"
            end)
        ]]
        local requests = {}
        for i = 1, 10 do
            requests[i] = web:send_eval(code)
        end
        http.finish(requests)
        local loaded = 0
        for _, request in ipairs(requests) do
            assert.is_truthy(request.body:find("^'value' nil '%l+'$"), request.body)
            loaded = loaded + (request.body == "'value' nil 'loader'" and 1 or 0)
        end
        assert.are.equal(1, loaded)
        web:quit()
        assert.are.same({}, web:problems({ "lua_code_cache is off" }))
    end)

    it("ends its loaders before a worker exits, and is not in its way", function()
        local site = fetching.start("hard_timeout = 60, lock_timeout = 60")
        local one, two = site.workers[1], site.workers[2]
        local requests = site:send_to(one, 2, "return cache:fetch('key', held, 'key', 'value')")
        site:await("key", 1)
        requests[3] = site:send_to(two, 1, "return cache:fetch('key', held, 'key', 'value')")[1]
        local old = site.web:reload()
        site:go()
        assert.are.same({ ["'value' nil 'loader'"] = 1, ["'value' nil 'memory'"] = 2 },
                        site:answers(requests))
        site.web:await_end(old, 20)
        assert.are.same("'value' nil 'memory'",
                        site:eval("return cache:fetch('key', held, 'key')"))
        assert(signal.kill(site.web.process.pid, signal.SIGQUIT))
        site.web.process:wait(20)
        assert.are.same({}, site.web:problems())
    end)
end)
