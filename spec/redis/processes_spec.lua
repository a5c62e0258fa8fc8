-- Several processes on one segment and one Redis.

local redis = require "spec.support.redis"
local run = require "spec.support.run"

describe("processes that share a segment and a Redis", function()
    local server, path

    setup(function()
        server = redis.start()
        path = run.temp_dir() .. "/segment"
    end)
    teardown(run.cleanup)
    before_each(function() server:call("FLUSHALL") end)

    -- A script that has `cache`, `show`, and talks line by line.
    local function script(text, options)
        return ([[
            local show = require "spec.support.show"
            local fork = require("posix.unistd").fork
            local wait = require("posix.sys.wait").wait
            local exit = require("posix.unistd")._exit
            local function say(...)
                io.stdout:write(show(...), "\n")
                io.stdout:flush()
            end
            local cache = assert(require("resty.tandem").new("shared",
                { memory = "2m", redis = %q, tracking = false, timeout = 5, %s }))
            %s
        ]]):format(server:url(), options or ("path = %q"):format(path), text)
    end

    local function lines(text, options)
        local list = {}
        for line in run.lua(script(text, options)):gmatch("([^\n]*)\n") do
            list[#list + 1] = line
        end
        return list
    end

    it("find each other's values in memory, by path", function()
        assert.are.same({ "true", "true" },
                        lines("say(cache:set('a', '1')) say(cache:set('b', '2'))"))
        local monitor = server:monitor()
        assert.are.same({ "'1' nil 'memory'", "'2' nil 'memory'" },
                        lines("say(cache:get('a')) say(cache:get('b'))"))
        assert.are.same({}, monitor:lines())
    end)

    it("see promotions, sets and deletes of each other", function()
        server:call("SET", "shared:theirs", "value")
        assert.are.same({ "'value' nil 'redis'" }, lines("say(cache:get('theirs'))"))
        assert.are.same({ "'value' nil 'memory'", "true" },
                        lines("say(cache:get('theirs')) say(cache:delete('theirs'))"))
        assert.are.same({ "nil nil nil" }, lines("say(cache:get('theirs'))"))
    end)

    it("by fork use the parent's segment, and connections of their own", function()
        assert.are.same({
            "true", "'1' nil 'memory'", "true", "'3' nil 'redis'", "'2' nil 'memory'",
            "'4' nil 'redis'",
        }, lines([[
            say(cache:set("a", "1"))
            local other = require("resty.tandem").new("other", { memory = "1m",
                redis = "]] .. server:url() .. [[", prefix = "other:" })
            other:set("c", "3")
            other:set("d", "4")
            local pid = fork()
            if pid == 0 then
                say(cache:get("a"))
                say(cache:set("b", "2"))
                local third = require("resty.tandem").new("third", { memory = "1m",
                    redis = "]] .. server:url() .. [[", prefix = "other:" })
                say(third:get("c"))
                exit(0)
            end
            wait(pid)
            say(cache:get("b"))
            local third = require("resty.tandem").new("third", { memory = "1m",
                redis = "]] .. server:url() .. [[", prefix = "other:" })
            say(third:get("d"))
        ]], ""))
    end)

    it("by fork under load do not take each other's answers", function()
        local n = 0
        for _, line in ipairs(lines([[
            for i = 1, 500 do
                assert(cache:set("key" .. i, "value" .. i))
            end
            local pids = {}
            for child = 1, 6 do
                pids[child] = fork()
                if pids[child] == 0 then
                    local own = require("resty.tandem").new("own", { memory = "1m", timeout = 5,
                        redis = "]] .. server:url() .. [[", prefix = "shared:" })
                    for round = 1, 3 do
                        for i = 1, 500 do
                            local value, err = own:get("key" .. i)
                            if value ~= "value" .. i then
                                say("wrong", i, value, err)
                                exit(1)
                            end
                            if i % 50 == child then
                                own:delete("absent")
                            end
                        end
                        own:cleanup_expired()
                    end
                    say("done")
                    exit(0)
                end
            end
            for _, pid in ipairs(pids) do
                local _, how, status = wait(pid)
                say(how, status)
            end
        ]], "")) do
            n = n + (line == "'done'" and 1 or 0)
            assert.is_truthy(line == "'done'" or line == "'exited' 0", line)
        end
        assert.are.equal(6, n)
    end)

    it("end at once, their I/O thread included", function()
        local began = run.now()
        lines("cache:get('key')")
        lines("cache:get('key') os.exit(0)")
        lines("cache:get('key') cache:close()")
        lines("cache:get('key') cache:set('key', 'x') exit(0)")
        assert.is_true(run.now() - began < 3)
    end)

    it("hand what was queued to Redis before they end", function()
        lines("for i = 1, 200 do cache:set('key' .. i, 'x') end",
              ("path = %q, write = 'behind'"):format(path .. ".behind"))
        run.wait_until("all have arrived", function() return #server:keys() == 200 end, 3)
    end)

    it("killed in mid-call harm no other", function()
        local victims = {}
        for i = 1, 3 do
            victims[i] = run.start_lua(script([[
                say("running")
                local i = 0
                while true do
                    i = i + 1
                    cache:set("key" .. i % 50, ("x"):rep(i % 3000))
                    cache:get("key" .. (i + 7) % 50)
                    cache:delete("key" .. (i + 13) % 50)
                end
            ]]))
            victims[i]:read_line()
        end
        for _, victim in ipairs(victims) do
            run.nap(50)
            victim:kill()
        end
        assert.are.same({ "true", "'value' nil 'memory'", "true" }, lines([[
            say(cache:set("key", "value"))
            say(cache:get("key"))
            say(cache:clear())
        ]]))
        for _, victim in ipairs(victims) do
            victim:destroy()
        end
    end)
end)
