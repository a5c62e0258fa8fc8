-- Workers that come and go: reloads, graceful ends, kills.

local http = require "spec.support.http"
local nginx = require "spec.support.nginx"
local redis = require "spec.support.redis"
local run = require "spec.support.run"
local signal = require "posix.signal"

local TAKEN = 3 -- seconds that a worker without requests may take to end, on a busy machine

describe("workers of nginx", function()
    local server, web

    setup(function() server = redis.start() end)
    teardown(run.cleanup)
    before_each(function() server:call("FLUSHALL") end)
    after_each(function()
        if web then
            web:stop()
            web = nil
        end
    end)

    local function opening(options)
        return ([[cache = assert(require("resty.tandem").new("web", { redis = %q, prefix = "p:",
            tracking = false, timeout = 10, %s }))]]):format(server:url(), options or "")
    end

    local LOCATIONS = {
        ["/get"] = [[
            local value, err = cache:get(ngx.var.arg_key)
            ngx.print(value or err or "absent")
        ]],
        ["/set"] = [[
            local ok, err = cache:set(ngx.var.arg_key, ngx.var.arg_key)
            ngx.print(ok and not err and "set" or err)
        ]],
        -- Waits until its worker is told to end, and uses the cache then.
        ["/late"] = [[
            while not ngx.worker.exiting() do
                ngx.sleep(0.01)
            end
            ngx.sleep(0.2)
            local value, err, tier = cache:get(ngx.var.arg_key)
            ngx.print(value or err or "absent", " ", tier or "", " ",
                      tostring(cache:set("late", "value")))
        ]],
    }

    local function start(options)
        options = options or {}
        options.init = not options.init_worker and (options.init or opening()) or nil
        options.locations = LOCATIONS
        web = nginx.start(options)
        return web
    end

    -- Sockets, in the folder for them, of processes that are not there any more.
    local function orphans()
        local list = {}
        for _, path in ipairs(web:leftovers()) do
            local pid = path:match("bell%-(%d+)%-")
            if pid and not run.state_of(pid) then
                list[#list + 1] = path
            end
        end
        return list
    end

    local sequence = 0

    -- 20 requests of all sorts at once, each with its own right answer.
    local function traffic()
        local requests, expected = {}, {}
        for i = 1, 20 do
            sequence = sequence + 1
            local kind, key = i % 4, "k" .. sequence
            local uri = "/get?key=" .. key
            expected[i] = "absent"
            if kind == 1 then
                uri, expected[i] = "/set?key=" .. key, "set"
            elseif kind == 2 then
                uri, expected[i] = "/get?key=hot", "hot"
            elseif kind == 3 and sequence > 100 then
                key = "k" .. sequence - 42 -- was set, as kind 1
                uri = "/get?key=" .. key
                expected[i] = key
            end
            requests[i] = http.send(web, uri)
        end
        http.finish(requests, 20)
        for i, request in ipairs(requests) do
            assert.are.equal(200, request.status, request.err)
            assert.are.equal(expected[i], request.body)
        end
    end

    for _, where in ipairs({ "init", "init_worker" }) do
        it("are replaced five times under traffic, the cache opened in " .. where, function()
            start({ [where] = opening() })
            sequence = 0
            assert.are.equal("set", web:get("/set?key=hot").body)
            for _ = 1, 10 do
                traffic()
            end
            for _ = 1, 5 do
                local old = web:workers()
                web.process:signal("HUP")
                local began = run.now()
                local function is_gone(pid)
                    local state = run.state_of(pid)
                    return state == nil or state == "Z"
                end
                repeat
                    traffic()
                until is_gone(old[1]) and is_gone(old[2]) or run.now() - began > TAKEN + 2
                assert.is_true(is_gone(old[1]) and is_gone(old[2]),
                               "a worker is still shutting down")
                assert.are.same({}, orphans())
            end
            -- The segment is the one from before.
            assert.are.equal("'hot' nil 'memory'", web:eval("return cache:get('hot')"))
            assert.is_true(web:quit() < TAKEN)
            assert.are.same({}, web:problems())
            assert.are.same({}, orphans())
        end)
    end

    it("end promptly when idle, having waited for Redis or not", function()
        for _, used in ipairs({ false, true }) do
            start()
            if used then
                for _, pid in ipairs(web:workers()) do
                    assert.are.equal("nil nil nil", web:eval_in(pid, "return cache:get('absent')"))
                end
            end
            assert.is_true(web:quit() < TAKEN)
            assert.are.same({}, web:problems())
            for _, path in ipairs(web:leftovers()) do
                assert.is_truthy(path:find("/tandem%-%d+$"), "left behind: " .. path)
            end
        end
    end)

    it("ended at once by SIGTERM leave nothing behind either", function()
        start()
        web:get("/get?key=absent")
        web.process:signal("TERM")
        web.process:wait(TAKEN)
        for _, path in ipairs(web:leftovers()) do
            assert.is_truthy(path:find("/tandem%-%d+$"), "left behind: " .. path)
        end
    end)

    it("that are to end let a request that waits have its answer", function()
        start()
        server:call("SET", "p:cold", "value")
        server:freeze()
        local waiting = http.send(web, "/get?key=cold")
        run.wait_until("it waits for Redis", function()
            return web:eval("return cache:stats().memory.misses") ~= "0"
        end)
        local old = web:reload()
        assert.is_true(waiting:is_waiting())
        server:thaw()
        waiting:wait(10)
        assert.are.equal("value", waiting.body)
        assert.is_true(web:await_end(old, 10) < TAKEN)
        web:quit()
        assert.are.same({}, web:problems())
    end)

    it("that are ending can still ask Redis", function()
        start()
        server:call("SET", "p:cold", "value")
        local late = {}
        for i = 1, 4 do
            late[i] = http.send(web, "/late?key=cold")
            assert.are.equal("absent", web:get("/get?key=absent").body)
        end
        run.nap(100)
        local old = web:reload()
        http.finish(late, 10)
        for i = 1, 4 do
            assert.is_truthy(late[i].body and late[i].body:find("^value %a+ true$"),
                             late[i].body or late[i].err)
        end
        assert.is_true(web:await_end(old, 10) < TAKEN)
        web:quit()
        -- What nginx says of any timer that is made while it exits: its own bookkeeping.
        assert.are.same({}, web:problems({ "open socket #%-?%d+ left in connection", "aborting" }))
        assert.are.same({}, orphans())
    end)

    it("keep the segment over a reload that changes what is not identity", function()
        start()
        web:eval("cache:set('key', 'value')")
        web:configure({ init = opening("ttl = 33, memory_ttl = 100, on_redis_error = 'fail'") })
        web:await_end(web:reload(), 10)
        assert.are.equal("'value' nil 'memory'", web:eval("return cache:get('key')"))
        web:eval("cache:set('key', 'value')")
        local left = server:call("PTTL", "p:key")
        assert.is_true(left > 30000 and left <= 33000)
        web:quit()
        assert.are.same({}, web:problems())
    end)

    it("have a new segment after a reload that changes the identity", function()
        start()
        web:eval("cache:set('key', 'value')")
        web:configure({ init = opening("memory = '2m'") })
        web:await_end(web:reload(), 10)
        assert.are.equal("'value' nil 'redis'", web:eval("return cache:get('key')"))
        assert.are.equal("2097152", web:eval("return cache:stats().memory.segment_bytes"))
        web:quit()
        assert.are.same({}, web:problems())
    end)

    it("survive a reload whose configuration fails", function()
        start()
        web:eval("cache:set('key', 'value')")
        local old = web:workers()
        web:configure({ init = "error('not today')" })
        web.process:signal("HUP")
        run.wait_until("nginx has refused it", function() return web:logged("not today") > 0 end)
        assert.are.same(old, web:workers())
        assert.are.equal("'value' nil 'memory'", web:eval("return cache:get('key')"))
        web:configure({ init = opening() })
        web:await_end(web:reload(), 10)
        assert.are.equal("'value' nil 'memory'", web:eval("return cache:get('key')"))
        web:quit()
        assert.are.same({}, web:problems({ "not today" }))
    end)

    it("killed under traffic are replaced, and no answer is wrong", function()
        start()
        assert.are.equal("set", web:get("/set?key=hot").body)
        local right, lost = 0, 0
        for round = 1, 10 do
            local requests = {}
            for i = 1, 30 do
                local key = i % 3 == 0 and "hot" or "r" .. round .. "." .. i
                requests[i] = http.send(web, (i % 3 == 1 and "/set?key=" or "/get?key=") .. key)
                if i == 15 then
                    signal.kill(web:workers()[1 + round % 2], signal.SIGKILL)
                end
            end
            http.finish(requests, 20)
            for i, request in ipairs(requests) do
                if not request.status then
                    lost = lost + 1
                else
                    local expected = i % 3 == 0 and "hot" or i % 3 == 1 and "set" or "absent"
                    assert.are.equal(expected, request.body)
                    right = right + 1
                end
            end
            run.wait_until("nginx has replaced it", function() return #web:workers() == 2 end)
        end
        assert.is_true(right > 150, right .. " right, " .. lost .. " lost")
        assert.are.equal("hot", web:get("/get?key=hot").body)
        web:quit()
        assert.are.same({}, web:problems({ "exited on signal 9" }))
    end)

    it("are not woken while there is nothing to do", function()
        start({ workers = 1 })
        web:get("/get?key=absent")
        local pid = web:workers()[1]
        local function switches(thread)
            return tonumber(run.read_file(("/proc/%d/task/%d/status"):format(pid, thread))
                :match("\nvoluntary_ctxt_switches:%s+(%d+)"))
        end
        run.nap(200)
        local threads, before = {}, {}
        for _, name in ipairs(require("posix.dirent").dir("/proc/" .. pid .. "/task")) do
            if tonumber(name) then
                threads[#threads + 1] = tonumber(name)
                before[tonumber(name)] = switches(name)
            end
        end
        assert.are.equal(2, #threads) -- nginx's own, and the one that talks to Redis
        run.nap(2000)
        for _, thread in ipairs(threads) do
            local woken = switches(thread) - before[thread]
            if thread == pid then
                assert.is_true(woken <= 1, "the worker was woken " .. woken .. " times in 2 s")
            else
                assert.is_true(woken <= 6, "the thread was woken " .. woken .. " times in 2 s")
            end
        end
    end)
end)
