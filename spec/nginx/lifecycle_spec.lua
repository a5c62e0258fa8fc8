-- Reloads, ends and crashes of a real nginx: what is under way is finished, and nothing is left.

local http = require "spec.support.http"
local life = require "spec.support.life"
local run = require "spec.support.run"
local signal = require "posix.signal"

local NOISE = life.NOISE
local start = life.start
local shared_mappings_of = life.shared_mappings_of
local redis_clients = life.redis_clients
local nothing_left = life.nothing_left
local bells = life.bells
local send_some = life.send_some
local all_answered = life.all_answered

describe("the life of an nginx", function()
    local server

    setup(function() server = life.setup() end)
    teardown(run.cleanup)
    before_each(life.fill)
    after_each(life.stop_all)

    it("has 20 reloads in a row under load, and nothing leaks", function()
        local web = start()
        local master = web.process.pid
        web:eval("cache:set('kept', 'value')")

        local function footprint()
            return { fds = run.fds_of(master), threads = run.threads_of(master),
                     mappings = shared_mappings_of(master) }
        end
        local function reload(round)
            local before = send_some(web, round)
            web.process:signal("HUP")
            local during = send_some(web, round + 100)
            local old = web:workers()
            local is_old = {}
            for _, pid in ipairs(old) do
                is_old[pid] = true
            end
            run.wait_until("nginx has new workers", function()
                local fresh = 0
                for _, pid in ipairs(web:workers()) do
                    fresh = fresh + (is_old[pid] and 0 or 1)
                end
                return fresh >= 2 or #old > 2 -- it was quicker
            end)
            all_answered(before)
            all_answered(during)
            -- Those that shut down do so within a second of their last request.
            local began = run.now()
            run.wait_until("the old workers are gone", function() return #web:workers() == 2 end)
            assert.is_true(run.now() - began < 1 + NOISE)
        end

        for round = 1, 3 do
            reload(round)
        end
        local before, rss = footprint(), run.private_memory_of(master)
        for round = 4, 20 do
            reload(round)
        end
        local after
        run.wait_until("the master has no more descriptors than before", function()
            after = footprint()
            return after.fds <= before.fds
        end)
        assert.are.equal(before.mappings, after.mappings)
        assert.are.same({ "nginx" }, after.threads)
        -- A Lua VM more or less is a matter of malloc's; a segment has 4 MB.
        assert.is_true(run.private_memory_of(master) - rss < 2048,
                       rss .. " KB, then " .. run.private_memory_of(master))
        assert.are.equal("'value'", web:eval("return (cache:get('kept'))"))
        for _, pid in ipairs(web:workers()) do
            web:eval_in(pid, "return cache:get('absent')")
            assert.are.same({ "nginx", "tandem-io" }, run.threads_of(pid))
        end
        assert.are.equal(2, #bells(web))
        -- A connection for each worker's data, and two links at most.
        run.wait_until("the old workers' connections are gone", function()
            return redis_clients() <= 4
        end)
        assert.is_true(web:quit() < 1 + NOISE)
        nothing_left(web)
    end)

    it("finishes what waits for Redis at a reload and at a quit", function()
        local web = start()
        for _, ending in ipairs({ "HUP", "QUIT" }) do
            all_answered(send_some(web, 1))
            local old = web:workers()
            server:freeze()
            local waiting = {}
            for i = 1, 20 do
                waiting[i] = http.send(web, i % 2 == 0 and "/get?key=key" .. i + 50
                                       or "/set?key=" .. ending .. i)
            end
            -- All of them are in a worker's hands: nobody is left in the queue of the socket.
            run.wait_until("all wait", function()
                local pending = 0
                for _, pid in ipairs(web:workers()) do
                    pending = pending + run.fds_of(pid)
                end
                return pending >= 20
            end)
            run.nap(100)
            web.process:signal(ending)
            -- One that got none of the requests is gone already.
            run.wait_until("workers are shutting down", function()
                for _, pid in ipairs(old) do
                    local name = run.read_file("/proc/" .. pid .. "/cmdline")
                    if name and name ~= "" and not name:find("shutting down", 1, true) then
                        return false
                    end
                end
                return true
            end)
            local began = run.now()
            server:thaw()
            for i, request in ipairs(http.finish(waiting, 10)) do
                assert.are.equal(200, request.status, request.err)
                assert.are.equal(i % 2 == 0 and "value" .. i + 50 or "true", request.body)
            end
            web:await_end(old)
            assert.is_true(run.now() - began < 1 + NOISE, ending)
        end
        web.process:wait(5)
        nothing_left(web)
    end)

    it("has calls that are made while a worker exits work", function()
        local web = start()
        for _, ending in ipairs({ "HUP", "QUIT" }) do
            for _, used in ipairs({ true, false }) do
                if used then
                    all_answered(send_some(web, 1))
                end
                local old, late = web:workers(), {}
                for i = 1, 20 do
                    late[i] = http.send(web, "/late?n=" .. i)
                end
                run.nap(100)
                if ending == "HUP" then
                    web:reload()
                elseif used then
                    web.process:signal(ending)
                end
                if ending == "HUP" or used then
                    for i, request in ipairs(http.finish(late, 10)) do
                        assert.are.equal(200, request.status, request.err)
                        assert.are.equal("true value" .. i, request.body)
                        assert.are.equal("value", server:call("GET", "p:late" .. i))
                    end
                    local began = run.now()
                    web:await_end(old)
                    assert.is_true(run.now() - began < 1 + NOISE)
                end
                if ending == "QUIT" then
                    break
                end
            end
        end
        web.process:wait(5)
        -- nginx says so of any timer that is made while it exits.
        nothing_left(web, { "open socket #%-2 left in connection", "aborting" })
    end)

    it("is stopped at once, with requests that wait and without", function()
        local web = start()
        all_answered(send_some(web, 1))
        web.process:signal("TERM")
        local began = run.now()
        web.process:wait(5)
        assert.is_true(run.now() - began < 1 + NOISE)
        nothing_left(web)

        web = start()
        all_answered(send_some(web, 1))
        server:freeze()
        local waiting = {}
        for i = 1, 10 do
            waiting[i] = http.send(web, "/get?key=absent" .. i)
        end
        run.nap(100)
        web.process:signal("TERM")
        began = run.now()
        web.process:wait(5)
        -- Nobody is there any more who would wait for what was to be read.
        assert.is_true(run.now() - began < 1 + NOISE)
        server:thaw()
        http.finish(waiting, 1)
        nothing_left(web)
    end)

    it("goes on when workers crash, and their sockets are removed", function()
        local web = start()
        for round = 1, 3 do
            all_answered(send_some(web, round))
            local victims = web:workers()
            for i, pid in ipairs(victims) do
                signal.kill(pid, i == 1 and signal.SIGKILL or signal.SIGSEGV)
            end
            web:await_end(victims)
            run.wait_until("nginx has replaced them", function() return #web:workers() == 2 end)
            for _, pid in ipairs(web:workers()) do
                assert.are.equal("nil nil nil", web:eval_in(pid, "return cache:get('absent')"))
            end
        end
        assert.are.equal(2, #bells(web))
        run.wait_until("the connections of the crashed are gone", function()
            return redis_clients() <= 4
        end)
        web:quit()
        nothing_left(web, { "exited on signal" })
    end)

    it("tells Redis what was written while it was away, though the worker has gone", function()
        local web = start()
        all_answered(send_some(web, 1))
        server:kill()
        local writers = web:workers()
        for i, pid in ipairs(writers) do
            run.wait_until("a write is for later", function()
                return web:eval_in(pid, ("return cache:set('of%d', 'queued', 100)"):format(i))
                    :find("^true 'queued: ")
            end)
        end
        signal.kill(writers[1], signal.SIGKILL)
        run.wait_until("it is replaced", function()
            return #web:workers() == 2 and not run.state_of(writers[1])
        end)
        web:reload()
        web:await_end(writers)
        server:restart()
        for i = 1, #writers do
            -- Somebody has to use Redis, so that it is found to be back.
            run.wait_until("Redis is told", function()
                web:eval("cache:get('absent')")
                return server:call("GET", "p:of" .. i) == "queued"
            end)
            local left = server:call("PTTL", "p:of" .. i)
            assert.is_true(left > 50000 and left < 100000, left)
        end
        web:quit()
        nothing_left(web, { "exited on signal" })
    end)

    it("has one connection to Redis for all requests of a worker", function()
        local web = start({ cache = "tracking = false" })
        local requests = {}
        for round = 1, 5 do
            for _, request in ipairs(send_some(web, round)) do
                requests[#requests + 1] = request
            end
        end
        all_answered(requests)
        local _, named = server:call("CLIENT", "LIST"):gsub("cmd=", "")
        assert.is_true(named - 1 <= 2, named - 1 .. " connections of 2 workers")
        web:quit()
        nothing_left(web)
    end)
end)
