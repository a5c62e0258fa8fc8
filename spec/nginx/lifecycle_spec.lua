-- Reloads, ends and crashes of a real nginx: what is under way is finished, and nothing is left.

local dirent = require "posix.dirent"
local http = require "spec.support.http"
local nginx = require "spec.support.nginx"
local redis = require "spec.support.redis"
local run = require "spec.support.run"
local signal = require "posix.signal"

-- What a busy machine may add to a time.
local NOISE = 1

describe("the life of an nginx", function()
    local server
    local started = {}

    setup(function() server = redis.start() end)
    teardown(run.cleanup)
    after_each(function()
        server:mend()
        for _, web in ipairs(started) do
            web:stop()
        end
        started = {}
    end)
    before_each(function()
        server:call("FLUSHALL")
        for i = 1, 100 do
            server:call("SET", "p:key" .. i, "value" .. i)
        end
    end)

    local function opening(options)
        return ([[cache = assert(require("resty.tandem").new("web",
            { memory = "4m", redis = %q, prefix = "p:", timeout = 5, %s }))]])
            :format(server:url(), options or "")
    end

    local function start(options)
        options = options or {}
        options.init = options.init or opening(options.cache)
        options.locations = {
            ["/get"] = [[ ngx.print(tostring((cache:get(ngx.var.arg_key)))) ]],
            ["/set"] = [[ ngx.print(tostring(cache:set(ngx.var.arg_key, "value"))) ]],
            -- Asks Redis when its worker has begun to exit, and some time after that.
            ["/late"] = [[
                while not ngx.worker.exiting() do
                    ngx.sleep(0.01)
                end
                ngx.sleep(0.1)
                local set, value = cache:set("late" .. ngx.var.arg_n, "value"), nil
                ngx.sleep(0.1)
                value = cache:get("key" .. ngx.var.arg_n)
                ngx.print(tostring(set), " ", tostring(value))
            ]],
        }
        started[#started + 1] = nginx.start(options)
        return started[#started]
    end

    local function threads_of(pid)
        local names = {}
        for _, entry in ipairs(dirent.dir("/proc/" .. pid .. "/task") or {}) do
            local name = entry:match("^%d+$")
                and run.read_file("/proc/" .. pid .. "/task/" .. entry .. "/comm")
            if name then
                names[#names + 1] = name:gsub("\n", "")
            end
        end
        table.sort(names)
        return names
    end

    -- Mappings that are shared with other processes: segments.
    local function shared_mappings_of(pid)
        local _, n = (run.read_file("/proc/" .. pid .. "/maps") or ""):gsub("\n%S+ %S*s ", "")
        return n
    end

    -- Connections to Redis but the one that asks.
    local function redis_clients()
        local _, n = server:call("CLIENT", "LIST"):gsub("id=", "")
        return n - 1
    end

    local function nothing_left(web, expected)
        for _, path in ipairs(web:leftovers()) do
            assert.is_truthy(path:find("/tandem%-%d+$"), "left behind: " .. path)
        end
        assert.are.same({}, web:problems(expected))
        run.wait_until("no connection to Redis is left", function()
            return redis_clients() == 0
        end)
    end

    -- Sockets of bells, an array of paths.
    local function bells(web)
        local list = {}
        for _, path in ipairs(web:leftovers()) do
            if path:find("/bell-", 1, true) then
                list[#list + 1] = path
            end
        end
        return list
    end

    -- Requests of all kinds that have been sent, and not yet answered.
    local function send_some(web, round)
        local list = {}
        for i = 1, 10 do
            list[#list + 1] = http.send(web, "/get?key=key" .. (round * 10 + i) % 100 + 1)
            list[#list + 1] = http.send(web, "/get?key=absent" .. round .. "." .. i)
            list[#list + 1] = http.send(web, "/set?key=own" .. round .. "." .. i)
        end
        return list
    end

    local function all_answered(requests)
        for i, request in ipairs(http.finish(requests, 20)) do
            assert.are.equal(200, request.status, request.err)
            local expected = ({ "^value%d+$", "^nil$", "^true$" })[(i - 1) % 3 + 1]
            assert.is_truthy(request.body:find(expected), request.body)
        end
    end

    it("has 20 reloads in a row under load, and nothing leaks", function()
        local web = start()
        local master = web.process.pid
        web:eval("cache:set('kept', 'value')")

        local function footprint()
            return { fds = run.fds_of(master), threads = threads_of(master),
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
            assert.are.same({ "nginx", "tandem-io" }, threads_of(pid))
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

    it("may have worker_shutdown_timeout: then that bounds it", function()
        local web = start({ main = "worker_shutdown_timeout 1s;", workers = 1 })
        all_answered(send_some(web, 1))
        server:freeze()
        local waiting = http.send(web, "/get?key=key77")
        run.nap(100)
        local old = web:workers()
        web:reload()
        local took = web:await_end(old)
        server:thaw()
        assert.is_true(took < 1 + NOISE, took .. " s")
        waiting:wait(1)
        assert.is_nil(waiting.status) -- nginx has cut it off
        all_answered(send_some(web, 2))
        web:quit()
        nothing_left(web, { "open socket #", "aborting" })
    end)

    it("may be without a master process", function()
        local web = start({ main = "master_process off;", workers = 0 })
        all_answered(send_some(web, 1))
        assert.are.equal("'value' nil 'memory'", web:eval(
            "cache:set('key', 'value') return cache:get('key')"))
        assert.are.same({ "nginx", "tandem-io" }, threads_of(web.process.pid))
        assert.is_true(web:quit() < 1 + NOISE)
        nothing_left(web)
    end)

    -- As people start it: it goes into the background, under another pid.
    it("may be a daemon", function()
        local web = start()
        web:quit()
        local conf = web.folder .. "/nginx.conf"
        run.write_file(conf, (run.read_file(conf):gsub("daemon off;", "daemon on;")))
        local output, status = run.run({ run.nginx, "-p", web.folder, "-c", "nginx.conf", "-e",
                                         "error.log" },
                                       { cwd = web.folder, env = { TANDEM_LIBRARY = false,
                                         LUA_PATH = false, LUA_CPATH = false } })
        assert.are.equal(0, status, output)
        local master = run.wait_until("it has a pid", function()
            return tonumber(run.read_file(web.folder .. "/nginx.pid"))
        end)
        local ended = false
        run.finally(function()
            if not ended then
                signal.kill(master, signal.SIGKILL)
            end
        end)
        run.wait_until("it answers", function() return #run.children_of(master) == 2 end)
        all_answered(send_some(web, 1))
        assert.are.same({ "nginx" }, threads_of(master))
        signal.kill(master, signal.SIGHUP)
        all_answered(send_some(web, 2))
        signal.kill(master, signal.SIGQUIT)
        run.wait_until("it ends", function()
            local state = run.state_of(master)
            ended = not state or state == "Z"
            return ended
        end)
        nothing_left(web)
    end)

    if (os.getenv("OPENRESTY") or "") ~= "" then
        it("may have a privileged agent, which has no thread unless it uses Redis", function()
            local AGENT = [[
                if require("ngx.process").type() == "privileged agent" then %s end]]
            local function agent_of(web)
                return run.wait_until("there is a privileged agent", function()
                    for _, pid in ipairs(web:workers()) do
                        local name = run.read_file("/proc/" .. pid .. "/cmdline")
                        if name:find("privileged", 1, true) then
                            return pid
                        end
                    end
                end)
            end
            local web = start({ init = opening() .. [[
                assert(require("ngx.process").enable_privileged_agent()) ]], workers = 2,
                init_worker = AGENT:format("") })
            all_answered(send_some(web, 1))
            assert.are.same({ "nginx" }, threads_of(agent_of(web)))
            web:quit()
            nothing_left(web)

            web = start({ init = opening() .. [[
                assert(require("ngx.process").enable_privileged_agent()) ]], workers = 2,
                init_worker = AGENT:format([[
                    ngx.timer.at(0, function()
                        ngx.sleep(0.05)
                        cache:set("of the agent", tostring((cache:get("key1"))))
                    end) ]]) })
            run.wait_until("the agent has asked and told Redis", function()
                return server:call("GET", "p:of the agent") == "value1"
            end)
            assert.are.same({ "nginx", "tandem-io" }, threads_of(agent_of(web)))
            all_answered(send_some(web, 1))
            assert.are.equal("'value1' nil 'memory'", web:eval("return cache:get('of the agent')"))
            local old = web:workers()
            web:reload()
            all_answered(send_some(web, 2))
            assert.is_true(web:await_end(old) < 1 + NOISE)
            assert.is_true(web:quit() < 1 + NOISE)
            nothing_left(web)
        end)
    else
        it("has no privileged agent, which only OpenResty's nginx can have", function()
            local web = start({ init = opening() .. [[
                agent = select(2, require("ngx.process").enable_privileged_agent()) ]] })
            assert.is_truthy(web:eval("return agent"):find("missing privileged agent", 1, true))
            all_answered(send_some(web, 1))
            assert.are.equal(2, #web:workers())
            web:quit()
            nothing_left(web)
        end)
    end

    it("may have helper processes, which have no thread", function()
        local web = start({ http = "proxy_cache_path $folder/cache keys_zone=zone:1m;" })
        all_answered(send_some(web, 1))
        local helpers = 0
        for _, pid in ipairs(web:workers()) do
            if run.read_file("/proc/" .. pid .. "/cmdline"):find("cache manager", 1, true) then
                helpers = helpers + 1
                assert.are.same({ "nginx" }, threads_of(pid))
            end
        end
        assert.are.equal(1, helpers)
        local old = web:workers()
        web:reload()
        all_answered(send_some(web, 2))
        assert.is_true(web:await_end(old) < 1 + NOISE)
        assert.is_true(web:quit() < 1 + NOISE)
        nothing_left(web)
    end)

    it("may be one of two side by side, with one Redis and one name of a cache", function()
        -- The same folder for private files, too.
        local folder = run.temp_dir()
        local one = start({ cache = ("runtime_dir = %q"):format(folder) })
        local two = start({ cache = ("runtime_dir = %q"):format(folder) })
        one:eval("cache:set('key', 'old')")
        local function value_in(web)
            return web:eval("return (cache:get('key'))")
        end
        assert.are.equal("'old'", value_in(two))
        run.wait_until("both are told of changes", function()
            local code = "cache:get('key') return cache:stats().tracking.state"
            return one:eval(code) == "'on'" and two:eval(code) == "'on'"
        end)
        assert.are.equal("'old'", value_in(two))
        for i = 1, 5 do
            one:eval(("cache:set('key', 'of one %d')"):format(i))
            run.wait_until("the other sees it", function()
                return value_in(two) == ("'of one %d'"):format(i)
            end, NOISE)
            two:eval(("cache:set('key', 'of two %d')"):format(i))
            run.wait_until("the other sees it", function()
                return value_in(one) == ("'of two %d'"):format(i)
            end, NOISE)
        end
        -- What happens to one of them is nothing to the other.
        local kept = "'of two 5' nil 'memory'"
        run.wait_until("it is in memory", function()
            return one:eval("return cache:get('key')") == kept
        end)
        two:reload()
        assert.are.equal(kept, one:eval("return cache:get('key')"))
        all_answered(send_some(two, 1))
        two:quit()
        assert.are.equal(kept, one:eval("return cache:get('key')"))
        all_answered(send_some(one, 1))
        one:quit()
        nothing_left(one)
        nothing_left(two)
        for _, path in ipairs(run.list_tree(folder)) do
            assert.is_truthy(path:find("/tandem%-%d+$"), "left behind: " .. path)
        end
    end)
end)
