--- What a host has written itself stays in memory, in every one of its processes, and costs one
-- read of Redis for each write.

local redis = require "spec.support.redis"
local remote = require "spec.support.remote"
local run = require "spec.support.run"

local WRITES = 1000

describe("own writes", function()
    teardown(run.cleanup)

    it("are memory's, in every process of the host, 99 of 100 and more", function()
        local server, path = redis.start(), run.temp_dir() .. "/segment"
        local processes = {}
        for i = 1, 2 do
            processes[i] = remote.start()
            processes[i]:eval(([[
                cache = assert(require("resty.tandem").new("own", { memory = "8m", redis = %q,
                    path = %q, timeout = 5, max_stale = 4 })) cache:get("absent")
                function count(from, to)
                    local n = 0
                    for i = from, to do
                        local value, err, tier = cache:get("key" .. i)
                        n = n + (value == "value" .. i and tier == "memory" and 1 or 0)
                    end
                    return n
                end
            ]]):format(server:url(), path))
        end
        run.wait_until("both have a link that reports", function()
            return processes[1]:call("return cache:stats().tracking.covering") == 2
        end)
        local function stats()
            return processes[1]:call("return cache:stats()")
        end

        -- How many of the writes were memory's at once and later, in the process that has fewer;
        -- reads of Redis for each of them, and how many Redis was asked for later.  nil: a process
        -- stood still in the middle of something for so long that all became stale, as it should.
        local function measure()
            local before = stats()
            local hits, later = { 0, 0 }, { 0, 0 }
            for from = 1, WRITES, 20 do
                processes[1]:eval(([[for i = %d, %d do
                    assert(cache:set("key" .. i, "value" .. i))
                end]]):format(from, from + 19))
                for i = 1, 2 do
                    hits[i] = hits[i] + processes[i]:call(("return count(%d, %d)")
                                                          :format(from, from + 19))
                end
            end
            -- For good, and not only until they would have been confirmed.
            run.wait_until("all have been read back", function()
                return stats().tracking.verifies - before.tracking.verifies >= 0.99 * WRITES
            end)
            run.nap(4100)
            local monitor, asked = server:monitor(), 0
            for i = 1, 2 do
                later[i] = processes[i]:call("return count(1, " .. WRITES .. ")")
            end
            for _, command in ipairs(monitor:commands()) do
                asked = asked + (command[1] == "GET" and 1 or 0)
            end
            monitor:close()
            local after = stats()
            if after.memory.epoch_bumps ~= before.memory.epoch_bumps then
                return nil
            end
            return math.min(hits[1], hits[2]), math.min(later[1], later[2]),
                   (after.tracking.verifies - before.tracking.verifies) / WRITES, asked
        end

        -- What a link reports of a write after it has been read back makes that one go once more:
        -- a process that has to wait for a processor may be that late.
        local at_once, later, reads, asked
        for _ = 1, 5 do
            at_once, later, reads, asked = measure()
            if at_once and later >= 0.99 * WRITES then
                break
            end
        end
        assert(at_once, "all became stale, five times in a row")
        print(("of %d own writes %d are memory's at once, %d later; %.3f reads of Redis for each")
              :format(WRITES, at_once, later, reads))
        assert.is_true(at_once >= 0.99 * WRITES)
        assert.is_true(later >= 0.99 * WRITES)
        assert.is_true(asked <= 0.02 * WRITES)
        assert.is_true(reads <= 1.05)
        for i = 1, 2 do
            processes[i]:stop()
        end
    end)

    it("are overtaken by what others write at once", function()
        local server, path = redis.start(), run.temp_dir() .. "/segment"
        local process = remote.start()
        process:eval(([[
            cache = assert(require("resty.tandem").new("own", { memory = "8m", redis = %q,
                path = %q, timeout = 5, max_stale = 4 })) cache:get("absent")
        ]]):format(server:url(), path))
        run.wait_until("it has a link that reports", function()
            return process:call("return cache:stats().tracking.state") == "on"
        end)
        local client = server:connect()
        for i = 1, 200 do
            process:eval(("return cache:set('key', 'own %d')"):format(i))
            if i % 2 == 0 then
                run.nap(i % 7) -- before, while and after it is read back
            end
            client:call("SET", "own:key", "foreign " .. i)
            run.wait_until("the later one is served", function()
                return process:call("return cache:get('key')") == "foreign " .. i
            end)
        end
        client:close()
        process:stop()
    end)

    -- They are served for up to `timeout` twice, or max_stale, unless they have been read back.
    it("that others delete at once are gone as soon as they have been read back", function()
        local server, path = redis.start(), run.temp_dir() .. "/segment"
        local process = remote.start()
        process:eval(([[
            cache = assert(require("resty.tandem").new("own", { memory = "8m", redis = %q,
                path = %q, timeout = 20, max_stale = 30 })) cache:get("absent")
        ]]):format(server:url(), path))
        run.wait_until("it has a link that reports", function()
            return process:call("return cache:stats().tracking.state") == "on"
        end)
        local client = server:connect()
        for i = 1, 100 do
            process:eval(("return cache:set('key%d', 'own')"):format(i))
            client:call("DEL", "own:key" .. i)
            run.wait_until("it is gone", function()
                return process:eval(("return cache:get('key%d')"):format(i)) == "nil nil nil"
            end, 15)
        end
        client:close()
        process:stop()
    end)
end)
