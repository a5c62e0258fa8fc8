-- One memory, by its path, of an nginx and scripts, of two nginxes, and of processes in other pid
-- namespaces: links go from one to another, and nothing is lost by it.

local nginx = require "spec.support.nginx"
local redis = require "spec.support.redis"
local remote = require "spec.support.remote"
local run = require "spec.support.run"

local WARM = 30

describe("one memory", function()
    local server, path, opening

    teardown(run.cleanup)

    before_each(function()
        server = redis.start()
        path = run.temp_dir() .. "/segment"
        opening = ([[cache = assert(require("resty.tandem").new("shared", { memory = "4m",
            redis = %q, path = %q, prefix = "p:", timeout = 5, connect_timeout = 5 }))]])
            :format(server:url(), path)
    end)
    after_each(function() server:stop() end)

    local LOOK = ([[
        local warm = 0
        for i = 1, %d do
            local value, err, tier = cache:get("warm" .. i)
            assert(value == "value" .. i, err)
            warm = warm + (tier == "memory" and 1 or 0)
        end
        local stats = cache:stats()
        local tracking, memory = stats.tracking, stats.memory
        return warm, tracking.gaps, tracking.covering,
               memory.epoch_bumps - tracking.gaps + memory.resets
    ]]):format(WARM)

    local function look(program)
        local warm, gaps, covering, upsets =
            program:eval(LOOK):match("^(%d+) (%d+) (%d+) (%d+)$")
        return { warm = tonumber(warm), gaps = tonumber(gaps), covering = tonumber(covering),
                 upsets = tonumber(upsets) }
    end

    local began

    -- Who is killed in the middle of a write costs a shard, and who stands still there, all: that
    -- has nothing to do with links.
    local function still_warm(program)
        local now = look(program)
        assert.are.equal(began.gaps, now.gaps)
        if now.upsets ~= began.upsets then
            began.upsets = now.upsets
            run.wait_until("everything is in memory", function()
                return look(program).warm == WARM
            end)
        else
            assert.are.equal(WARM, now.warm)
        end
    end

    local function change(program, n)
        server:call("SET", "p:changing", "at " .. n)
        run.wait_until("the change is seen", function()
            return program:eval("return cache:get('changing')"):find("'at " .. n .. "'", 1, true)
        end)
    end

    -- Warm in all that is to come, with so many links.
    local function warm_up(program, links)
        run.wait_until("the links report", function() return look(program).covering == links end)
        for i = 1, WARM do
            server:call("SET", "p:warm" .. i, "value" .. i)
        end
        change(program, "first")
        run.wait_until("everything is in memory", function() return look(program).warm == WARM end)
        began = look(program)
    end

    before_each(function()
        for i = 1, WARM do
            server:call("SET", "p:warm" .. i, "value" .. i)
        end
    end)

    it("of an nginx is not made stale by scripts that come and go", function()
        local web = nginx.start({ init = opening })
        warm_up(web, 2)
        for i = 1, 15 do
            -- Some are young, some take part; some end of themselves, some are killed.
            local script = run.start_lua(opening .. ([[
                assert(cache:get("warm1") == "value1")
                assert(cache:set("script", "%d"))
                require("spec.support.run").nap(%d)
                io.stdout:write("done\n")
                io.stdout:flush()
                require("spec.support.run").nap(%d)
            ]]):format(i, i % 5 * 100, i % 3 == 0 and 60000 or 0))
            assert.are.equal("done", script:read_line())
            if i % 3 == 0 then
                script:kill()
            end
            change(web, i)
            script:destroy()
            still_warm(web)
            assert.are.equal("'" .. i .. "'", web:eval("return (cache:get('script'))"))
        end
        web:stop()
    end)

    it("of two nginxes outlives either", function()
        local one = nginx.start({ init = opening })
        warm_up(one, 2)
        local two = nginx.start({ init = opening })
        assert.are.equal(WARM, look(two).warm)
        for i = 1, 3 do
            local old = one:reload()
            run.wait_until("the old workers have gone", function()
                change(two, "reload " .. i .. "/" .. run.now())
                one:eval("return cache:get('warm1')")
                for _, pid in ipairs(old) do
                    local state = run.state_of(pid)
                    if state and state ~= "Z" then
                        return false
                    end
                end
                return true
            end)
            still_warm(two)
        end
        one:quit()
        change(two, "quit")
        still_warm(two)
        two:stop()
    end)

    it("of processes in several pid namespaces knows the dead ones by their silence", function()
        local inside = { "unshare", "--pid", "--fork", "--kill-child", "--mount-proc" }
        if require("posix.unistd").geteuid() ~= 0 then
            table.insert(inside, 2, "--map-root-user")
        end
        local processes = { remote.start({ inside = inside }), remote.start(), remote.start() }
        for _, process in ipairs(processes) do
            process:eval(opening .. " cache:get('warm1')")
            run.wait_until("a link reports", function() return look(process).covering >= 1 end)
        end
        warm_up(processes[3], 2)
        local links = tonumber(processes[3]:eval("return cache:stats().tracking.links"))
        processes[1]:stop()
        run.wait_until("the third one has a link", function()
            change(processes[3], run.now())
            return tonumber(processes[3]:eval("return cache:stats().tracking.links")) > links
                and look(processes[3]).covering == 2
        end)
        still_warm(processes[3])
        processes[2]:stop()
        change(processes[3], "alone")
        still_warm(processes[3])
        processes[3]:stop()
    end)

    it("takes its bytes once, however many processes have read all of it", function()
        local web = nginx.start({ workers = 3, init = opening })
        web:eval("for i = 1, 3000 do cache:set('key' .. i, ('v'):rep(1000)) end")
        local all = 0
        for _, pid in ipairs(web:workers()) do
            web:eval_in(pid, "for i = 1, 3000 do cache:peek('key' .. i) end")
        end
        for _, pid in ipairs(web:workers()) do
            local resident, share = run.mapped_of(pid, path)
            assert.is_true(resident > 2000, resident .. " KB")
            all = all + share
        end
        assert.is_true(all <= 4096, all .. " KB")
        web:quit()
    end)
end)
