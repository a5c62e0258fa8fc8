--- Three hosts of two workers each, and two other programs, on one cluster, while its masters and
-- their replicas change places, replicas fall behind, slots move, connections are cut and processes
-- are killed.  All but one host read from replicas where they can.  Nothing that is read is older
-- than max_stale, and in the end every host has of every key what the cluster has, a master's death
-- included.

local clusters = require "spec.support.clusters"
local crowd = require "spec.support.crowd"
local ending = require "spec.support.ending"
local ledger = require "spec.support.ledger"
local redirected = require "spec.support.redirected"
local run = require "spec.support.run"

local HOSTS, WORKERS, OTHERS = 3, 2, 2
local WRITERS = HOSTS * WORKERS + OTHERS
local SECONDS = tonumber(os.getenv("TANDEM_SOAK_SECONDS")) or 10
local MAX_STALE = 1

-- A node that is only slow is not to be taken for dead: a replica that takes over then may lack
-- what was acknowledged last, as Redis has it.  In the end, when nobody writes any more, one is
-- killed.
local PATIENT_MS, QUICK_MS = 5000, 1500

describe("three hosts on a cluster that changes", function()
    teardown(run.cleanup)

    it("end with every host equal to the cluster on every key, and nothing too old before",
       function()
        local cluster = clusters.start { replicas = 3 }
        cluster:set_node_timeout(PATIENT_MS)
        local folder = run.temp_dir()
        local file = folder .. "/ledger"
        run.write_file(file, ledger.empty())
        local book = ledger.open(file)

        -- stress.lua's own is lags.
        local function options_of(host, more)
            return ([[{ memory = "2m", path = %q, redis = { url = %q, replicas = %q },
                        prefix = "s:", max_stale = %d, timeout = 2, connect_timeout = 2,
                        on_redis_error = %q%s }]])
                :format(folder .. "/segment" .. host, cluster:url(),
                        host == HOSTS and "never" or "prefer", MAX_STALE,
                        host == HOSTS and "degrade" or "fail", more or "")
        end

        local processes = crowd.start("stress.lua", file, book, WRITERS, WORKERS, function(number)
            local host = math.floor(number / WORKERS) + 1
            return host <= HOSTS and options_of(host, ", lags = true")
                or ("{ cluster = true, port = %d, prefix = 's:' }"):format(cluster.nodes[1].port)
        end)

        local function any_master()
            local masters = cluster:masters()
            return masters[math.random(#masters)], masters
        end

        -- The others do not elect a second successor of a master within twice their time-out.
        local replaced = {}
        local EVENTS = {
            failovers = function()
                local master = any_master()
                if replaced[master] then
                    return false
                end
                replaced[master] = true
                cluster:fail_over(cluster:replica_of(master))
            end,
            ["replicas fallen behind"] = function()
                local replica = cluster:replica_of((any_master()))
                if replica then
                    clusters.fall_behind(replica)
                    run.nap(math.random(200, 2000))
                    cluster:catch_up(replica)
                end
            end,
            -- Of those that have keys, some.
            ["slots moved"] = function()
                local to, moved = any_master(), {}
                for _ = 1, 20 do
                    local slot = cluster:slot_of("s:" .. math.random(0, ledger.KEYS - 1))
                    local from = cluster:master_of(slot)
                    if from ~= to and not moved[slot] then -- not all know yet
                        cluster:move(slot, from, to)
                        moved[slot] = true
                    end
                end
                cluster:await()
            end,
            ["connections killed"] = function()
                any_master():call("CLIENT", "KILL", "TYPE",
                                  math.random(2) == 1 and "pubsub" or "normal")
            end,
            ["workers killed"] = function()
                processes:replace(math.random(0, HOSTS * WORKERS - 1))
            end,
        }

        math.randomseed(tonumber(os.getenv("TANDEM_SEED")) or os.time())
        local happened, names = {}, {}
        for name in pairs(EVENTS) do
            happened[name], names[#names + 1] = 0, name
        end
        table.sort(names)
        local began, round = run.now(), 0
        while run.now() - began < SECONDS or round < #names do
            round = round + 1
            local name = names[round <= #names and round or math.random(#names)]
            if EVENTS[name]() ~= false then
                happened[name] = happened[name] + 1
            end
            run.nap(200)
            processes:check()
        end
        processes:finish()

        local function truth()
            local client, values = redirected.new(cluster:alive().port), {}
            for key = 0, ledger.KEYS - 1 do
                values[key] = client:call("GET", "s:" .. key) or false
            end
            client:close()
            return values
        end
        local ends = ending.open(HOSTS, options_of, truth)
        ends:await(20)
        -- Nor does it matter that a master dies.
        cluster:set_node_timeout(QUICK_MS)
        cluster:await_replicas()
        local victim = any_master()
        local replica = cluster:replica_of(victim)
        victim:kill()
        run.wait_until("its replica has taken over", function()
            return replica:call("ROLE")[1] == "master"
        end, 30)
        cluster:await()
        ends:await(20)
        run.nap(MAX_STALE * 1000 + 100)
        ends:close()
        cluster:stop()

        local events = {}
        for _, name in ipairs(names) do
            events[#events + 1] = happened[name] .. " " .. name
        end
        local writes, memory = processes:sum(1), processes:sum(2)
        assert.is_true(writes > SECONDS * 10 and memory > SECONDS * 50)
        print(("%s; %d writes, reads: %d memory, %d Redis, %d stale; %d failed"):format(
            table.concat(events, ", "), writes, memory, processes:sum(3), processes:sum(4),
            processes:sum(5)))
    end)
end)
