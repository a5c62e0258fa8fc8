--- Three hosts of two workers each, and two other programs that write, while processes are killed
-- and stopped, links are cut, and Redis stands still.  Nothing that is read is ever too old, and in
-- the end every host has of every key what Redis has.  For a while that TANDEM_SOAK_SECONDS says.

local crowd = require "spec.support.crowd"
local ending = require "spec.support.ending"
local laters = require "spec.support.later"
local ledger = require "spec.support.ledger"
local proxy = require "spec.support.proxy"
local redis = require "spec.support.redis"
local run = require "spec.support.run"

local HOSTS, WORKERS, OTHERS = 3, 2, 2
local WRITERS = HOSTS * WORKERS + OTHERS
local SECONDS = tonumber(os.getenv("TANDEM_SOAK_SECONDS")) or 8
local MAX_STALE = 1

describe("three hosts, other programs, and everything that can happen", function()
    teardown(run.cleanup)

    it("end with every host equal to Redis on every key, and nothing too old before", function()
        local server = redis.start()
        local folder = run.temp_dir()
        local file = folder .. "/ledger"
        run.write_file(file, ledger.empty())
        local book = ledger.open(file)
        local hosts = {}

        local function options_of(host)
            return ([[{ memory = "2m", path = %q, redis = %q, prefix = "s:", max_stale = %d,
                        timeout = 2, connect_timeout = 2, on_redis_error = %q }]])
                :format(folder .. "/segment" .. host, hosts[host].way:url(), MAX_STALE,
                        host == HOSTS and "degrade" or "fail")
        end

        for host = 1, HOSTS do
            hosts[host] = { way = proxy.start(server.port) }
        end
        local processes = crowd.start("stress.lua", file, book, WRITERS, WORKERS, function(number)
            local host = math.floor(number / WORKERS) + 1
            return hosts[host] and options_of(host)
                or ("{ port = %d, prefix = 's:' }"):format(server.port)
        end)

        -- What is to be undone, and when.
        local later, undo_due = laters()
        local happened = {}

        local EVENTS = {
            function()
                local number = math.random(0, HOSTS * WORKERS - 1)
                if not processes[number].stopped then
                    processes:replace(number)
                    return "kills"
                end
            end,
            function()
                local one = processes[math.random(0, WRITERS - 1)]
                if not one.stopped then
                    one.stopped = true
                    one.process:signal("STOP")
                    later(math.random() * 2, function()
                        one.process:thaw()
                        one.stopped = false
                    end)
                    return "stops"
                end
            end,
            function()
                local way = hosts[math.random(HOSTS)].way
                if way.links == "pass" then
                    way:treat_links(math.random(2) == 1 and "swallow" or "cut")
                    later(math.random() * 2.5, function() way:treat_links("pass") end)
                    return "links cut"
                end
            end,
            function()
                server:call("CLIENT", "KILL", "TYPE", math.random(2) == 1 and "pubsub" or "normal")
                return "connections killed"
            end,
            function()
                server.process:signal("STOP")
                run.nap(math.random(20, 400))
                server.process:thaw()
                return "halts of Redis"
            end,
            function()
                local client = server:connect()
                client:call("SELECT", "5")
                client:call("FLUSHDB")
                client:close()
                return "flushes"
            end,
        }

        math.randomseed(tonumber(os.getenv("TANDEM_SEED")) or os.time())
        local began = run.now()
        while run.now() - began < SECONDS do
            run.nap(60)
            processes:check()
            undo_due()
            local what = EVENTS[math.random(#EVENTS)]()
            if what then
                happened[what] = (happened[what] or 0) + 1
            end
        end
        undo_due(true)
        processes:check()

        processes:finish()

        local function truth()
            local client, values = server:connect(), {}
            for key = 0, ledger.KEYS - 1 do
                values[key] = client:call("GET", "s:" .. key) or false
            end
            client:close()
            return values
        end
        local ends = ending.open(HOSTS, options_of, truth)
        ends:await(20)
        -- And it stays so, also when all that was fresh for a while only has become stale.
        run.nap(MAX_STALE * 1000 + 100)
        ends:close()

        local sums = {}
        for which = 0, 5 do
            sums[which] = processes:sum(which)
        end
        assert.is_true(sums[1] > SECONDS * 20 and sums[2] > SECONDS * 100)
        local events = {}
        for what, n in pairs(happened) do
            events[#events + 1] = n .. " " .. what
        end
        table.sort(events)
        print(("%s; %d writes, reads: %d memory, %d Redis, %d stale; %d failed"):format(
            table.concat(events, ", "), sums[1], sums[2], sums[3], sums[4], sums[5]))
    end)
end)
