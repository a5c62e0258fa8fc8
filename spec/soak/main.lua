--- Three hosts, each an nginx of two workers with a segment of its own, and two other programs that
-- write to the same Redis, while everything happens to them that can be made to happen.
--
--   luajit spec/soak/main.lua SECONDS [SEED]
--
-- All the time each value that is read says itself whether it is whole, its key's, and new enough;
-- requests are answered; and every 15 seconds all is left in peace, until each host has of every
-- key what Redis has.  At the end nothing has grown, and the logs have no errors but those made
-- here.
-- Prints what was done and seen, and "soak: passed" or "soak: FAILED" and why; exits 0 or 1.

local events = require "spec.soak.events"
local peace = require "spec.soak.peace"
local requests = require "spec.soak.requests"
local run = require "spec.support.run"
local stressing = require "spec.support.stressing"
local world = require "spec.soak.world"

local SECONDS = assert(tonumber(arg[1]), "usage: luajit spec/soak/main.lua SECONDS [SEED]")
local SEED = tonumber(arg[2]) or os.time()
local PEACE_EVERY = 15

math.randomseed(SEED)
local hosts, say = world.hosts, world.say
local happened = {}

local function happens(what)
    happened[what] = (happened[what] or 0) + 1
end

-- -- What is looked at all the time ---------------------------------------------------------------

local EXPECTED = { "exited on signal 9" } -- of workers that are killed here

local function check_logs()
    for _, host in ipairs(hosts) do
        local problem = host.web:problems(EXPECTED)[1]
        if problem then
            error(("host %d logs: %s"):format(host.number, problem), 0)
        end
    end
end

local function check_others()
    for number, process in pairs(world.others) do
        if not process:alive() then
            error(("writer %d: %s"):format(number, process:read_all()), 0)
        end
    end
end

-- Who is stopped need do nothing; who is not, must.
local progress = {}

local function check_progress()
    for number = 0, world.WRITERS - 1 do
        local host, last = hosts[math.floor(number / world.WORKERS) + 1], progress[number]
        local count = world.book:counted(number, stressing.READS)
        if not last or count ~= last.count or host and next(host.stopped) then
            progress[number] = { count = count, since = run.now() }
        elseif run.now() - last.since > world.STANDSTILL then
            error("process " .. number .. " stands still", 0)
        end
    end
end

-- -- The run --------------------------------------------------------------------------------------

local function sum(which)
    local n = 0
    for number = 0, world.WRITERS - 1 do
        n = n + world.book:counted(number, which)
    end
    return n
end

local function be_in_peace()
    peace.keep()
    check_logs()
    happens("comparisons in peace")
end

local function soak()
    world.start()
    say("seed %d; %d hosts of %d workers, %d other programs", SEED, world.HOSTS, world.WORKERS,
        world.OTHERS)
    local next_peace, next_log = run.now() + PEACE_EVERY / 3, 0
    while world.seconds() < SECONDS do
        run.nap(80)
        world.undo_due()
        requests.ask()
        check_others()
        check_progress()
        if run.now() > next_log then
            check_logs()
            next_log = run.now() + 2
        end
        if run.now() > next_peace then
            be_in_peace()
            next_peace = run.now() + PEACE_EVERY
        elseif math.random(4) == 1 then
            local what
            for _ = 1, 5 do -- some cannot be just now
                what = what or events[math.random(#events)]()
            end
            happens(what or "idle moments")
        end
    end
    be_in_peace()
    be_in_peace()
    peace.check_growth()
    for _, host in ipairs(hosts) do
        local resets, out, timeouts = world.get(host, "/resets"):match("(%d+) (%d+) (%d+)")
        assert(out == "0", "a shard is out of service")
        say("host %d: %s shards reset, %s waits for a lock given up", host.number, resets, timeouts)
    end
end

local ok, problem = xpcall(soak, function(err)
    return type(err) == "string" and err:find("\n") and err or debug.traceback(err)
end)
local counted = {}
for what, n in pairs(happened) do
    counted[#counted + 1] = n .. " " .. what
end
table.sort(counted)
if world.book then
    local writes, memory, from_redis = sum(stressing.WRITES), sum(stressing.MEMORY),
                                       sum(stressing.REDIS)
    local stale, failed = sum(stressing.STALE), sum(stressing.FAILED)
    say("%d operations: %d writes acknowledged; reads: %d of memory, %d of Redis, %d stale; "
        .. "%d failed", writes + memory + from_redis + stale + failed, writes, memory, from_redis,
        stale, failed)
    say("%d requests, of which %d were cut off by a kill; %s", requests.count,
        requests.cut, table.concat(counted, ", "))
end
if not ok then
    for _, host in ipairs(hosts) do
        say("the end of host %d's log:\n%s", host.number, host.web:log():sub(-2000))
    end
end
run.cleanup()
print(ok and "soak: passed" or ("soak: FAILED (seed %d): %s"):format(SEED, problem))
os.exit(ok and 0 or 1)
