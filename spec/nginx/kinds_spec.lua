-- The ways in which nginx is run: without a master, as a daemon, with helpers, beside another.  All
-- of them end with nothing left.

local http = require "spec.support.http"
local life = require "spec.support.life"
local run = require "spec.support.run"
local signal = require "posix.signal"

local NOISE = life.NOISE
local opening = life.opening
local start = life.start
local nothing_left = life.nothing_left
local send_some = life.send_some
local all_answered = life.all_answered

describe("the life of an nginx", function()
    local server

    setup(function() server = life.setup() end)
    teardown(run.cleanup)
    before_each(life.fill)
    after_each(life.stop_all)

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
        assert.are.same({ "nginx", "tandem-io" }, run.threads_of(web.process.pid))
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
        assert.are.same({ "nginx" }, run.threads_of(master))
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
            assert.are.same({ "nginx" }, run.threads_of(agent_of(web)))
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
            assert.are.same({ "nginx", "tandem-io" }, run.threads_of(agent_of(web)))
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
                assert.are.same({ "nginx" }, run.threads_of(pid))
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
