-- Processes that use one segment while they are killed and stopped at any moment.  For a while that
-- TANDEM_KILL_SECONDS says.

local ffi = require "ffi"

local caches = require "spec.support.caches"
local run = require "spec.support.run"

local PROCESSES = 4
local SECONDS = tonumber(os.getenv("TANDEM_KILL_SECONDS")) or 5
local STANDSTILL = 5 -- seconds in which every process that runs must have done something

describe("processes that are killed and stopped at any moment", function()
    teardown(run.cleanup)

    it("leave the others with right values, and going on", function()
        local folder = run.temp_dir()
        local path, progress = folder .. "/segment", folder .. "/progress"
        run.write_file(progress, ("\0"):rep(4096))

        local function start(number)
            local process = run.start_lua(
                ("arg = { %q, %q, %d, %d } dofile(%q)"):format(path, progress, number, PROCESSES,
                    run.root .. "/spec/support/hammer.lua"))
            return { process = process, count = nil, since = run.now() }
        end

        local function counts()
            local list, content = {}, run.read_file(progress)
            local doubles = ffi.cast("const double *", content)
            for number = 0, PROCESSES - 1 do
                list[number] = doubles[number]
            end
            return list
        end

        local hammers, stopped = {}, nil
        for number = 0, PROCESSES - 1 do
            hammers[number] = start(number)
        end

        -- None has ended by itself, and none that runs stands still.
        local function check()
            local now = counts()
            for number, hammer in pairs(hammers) do
                if not hammer.process:alive() then
                    error(hammer.process.how .. " " .. hammer.process.status .. ": "
                          .. hammer.process:read_all())
                end
                if now[number] ~= hammer.count or hammer == stopped then
                    hammer.count, hammer.since = now[number], run.now()
                elseif run.now() - hammer.since > STANDSTILL then
                    error("process " .. number .. " stands still")
                end
            end
        end

        local began, kills, stops = run.now(), 0, 0
        math.randomseed(tonumber(os.getenv("TANDEM_SEED")) or os.time())
        while run.now() - began < SECONDS do
            run.nap(50)
            check()
            if stopped then
                stopped.process:thaw()
                stopped = nil
            end
            local number = math.random(0, PROCESSES - 1)
            if math.random(3) == 1 then
                stopped = hammers[number]
                stopped.process:signal("STOP")
                stops = stops + 1
            else
                local process = hammers[number].process
                process:kill()
                assert.are.equal("killed", process.how)
                process:destroy()
                hammers[number] = start(number)
                kills = kills + 1
            end
        end
        if stopped then
            stopped.process:thaw()
            stopped = nil
        end

        -- Left in peace, all of them go on.
        local before = counts()
        run.wait_until("all of them go on", function()
            check()
            for number, count in pairs(counts()) do
                if count < before[number] + 100 then
                    return false
                end
            end
            return true
        end, 20)

        local cache = caches.open({ memory = "1m", path = path }, "hammer")
        local stats = cache:stats()
        assert.are.equal(0, stats.memory.shards_out_of_service)
        for _, hammer in pairs(hammers) do
            hammer.process:kill()
            assert.are.equal("", hammer.process:read_all())
            hammer.process:destroy()
        end
        assert.is_true(cache:set("key", "value"))
        assert.are.equal("value", (cache:get("key")))
        assert.is_true(kills > SECONDS * 3 and stops > SECONDS)
        local operations = 0
        for _, count in pairs(counts()) do
            operations = operations + count
        end
        print(("%d kills, %d stops, %d resets, %d lock time-outs, %.0f operations"):format(kills,
            stops, stats.memory.resets, stats.memory.lock_timeouts, operations))
    end)
end)
