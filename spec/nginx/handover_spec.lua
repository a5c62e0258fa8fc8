-- Tracking links go from worker to worker: at reloads, when workers are killed, when they stop.
-- What is in memory stays fresh, and what others change is seen.

local nginx = require "spec.support.nginx"
local redis = require "spec.support.redis"
local run = require "spec.support.run"
local signal = require "posix.signal"

local WARM = 50 -- keys that nobody changes

describe("an nginx whose workers come and go", function()
    local server, web, began

    setup(function() server = redis.start() end)
    teardown(run.cleanup)

    -- How many of the warm keys memory answers as fresh, and what tracking says.
    local LOOK = ([[
        local warm = 0
        for i = 1, %d do
            local value, err, tier = cache:get("warm" .. i)
            assert(value == "value" .. i, err)
            warm = warm + (tier == "memory" and 1 or 0)
        end
        local stats = cache:stats()
        local tracking, memory = stats.tracking, stats.memory
        return warm, tracking.gaps, tracking.links, tracking.state,
               memory.epoch_bumps - tracking.gaps + memory.resets
    ]]):format(WARM)

    local function look()
        local warm, gaps, links, state, upsets =
            web:eval(LOOK):match("^(%d+) (%d+) (%d+) '(%a+)' (%d+)$")
        return { warm = tonumber(warm), gaps = tonumber(gaps), links = tonumber(links),
                 state = state, upsets = tonumber(upsets) }
    end

    after_each(function() web:stop() end)

    -- Another program writes; until it is seen, what was there before may be.
    local function foreign_write(n)
        server:call("SET", "p:changing", "at " .. n)
        run.wait_until("change " .. n .. " is seen", function()
            return web:eval("return cache:get('changing')"):find("'at " .. n .. "'", 1, true)
        end)
        run.nap(5)
    end

    local function two_links()
        run.wait_until("two links report", function()
            web:eval("return cache:get('changing')")
            return web:eval("return cache:stats().tracking.covering") == "2"
        end, 20)
    end

    local function start(options)
        options.init = ([[cache = assert(require("resty.tandem").new("web",
            { memory = "4m", redis = %q, prefix = "p:", timeout = 5, connect_timeout = 5 }))]])
            :format(server:url())
        options.init_worker = options.attends and options.init
        web = nginx.start(options)
        two_links()
        -- What is read from now on is under their lease.
        for i = 1, WARM do
            server:call("SET", "p:warm" .. i, "value" .. i)
        end
        foreign_write("first")
        run.wait_until("everything is in memory", function() return look().warm == WARM end)
        began = look()
    end

    local function still_warm(what)
        local now = look()
        assert.are.equal(began.gaps, now.gaps, "a gap: " .. what)
        assert.are.equal("on", now.state, what)
        -- Who is killed in the middle of a write costs a shard, and who stands still there, all:
        -- that has nothing to do with links.
        if now.upsets ~= began.upsets then
            began.upsets = now.upsets
            run.wait_until("everything is in memory", function() return look().warm == WARM end)
            return
        end
        assert.are.equal(WARM, now.warm, what)
    end

    local function gone(pids)
        for _, pid in ipairs(pids) do
            local state = run.state_of(pid)
            if state and state ~= "Z" then
                return false
            end
        end
        return true
    end

    it("is warm after 20 reloads under foreign writes", function()
        start({})
        local writes = 0
        for i = 1, 20 do
            local old = web:reload()
            run.wait_until("the old workers have gone", function()
                writes = writes + 1
                foreign_write(writes)
                return gone(old)
            end)
            still_warm("reload " .. i)
        end
        assert.is_true(writes >= 20)
    end)

    it("is so without any request, where the cache is opened in init_worker, too", function()
        start({ attends = true })
        for i = 1, 5 do
            web:await_end(web:reload())
            foreign_write(i)
            still_warm("reload " .. i)
        end
    end)

    it("is warm while a worker that has a link is killed every second", function()
        start({ workers = 3 })
        -- The two that have been there longest have the links, after a kill or two.
        local seen, count = {}, 0
        local function oldest()
            local first
            for _, pid in ipairs(web:workers()) do
                if not seen[pid] then
                    count = count + 1
                    seen[pid] = count
                end
                first = (not first or seen[pid] < seen[first]) and pid or first
            end
            return first
        end
        for i = 1, 8 do
            local killed = run.now()
            web:kill_worker(oldest())
            repeat
                foreign_write(i .. "/" .. run.now())
            until run.now() - killed >= 1
            oldest()
            still_warm("kill " .. i)
        end
        assert.is_true(look().links >= began.links + 6)
    end)

    it("is warm while any worker is stopped; one that had a link is replaced", function()
        start({ workers = 3 })
        for i, pid in ipairs(web:workers()) do
            two_links()
            assert(signal.kill(pid, signal.SIGSTOP))
            -- Before, the kernel may still give it a request to wake up for.
            run.wait_until("it is stopped", function() return run.state_of(pid) == "T" end)
            local stopped = run.now()
            repeat
                foreign_write(i .. "/" .. run.now())
            until run.now() - stopped > 2.5
            still_warm("stopped " .. i)
            -- It goes on, and does no harm.
            assert(signal.kill(pid, signal.SIGCONT))
            for n = 1, 20 do
                foreign_write(i .. " again " .. n)
            end
            still_warm("continued " .. i)
        end
        assert.is_true(look().links >= began.links + 2)
    end)
end)
