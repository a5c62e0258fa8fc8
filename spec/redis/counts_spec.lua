-- What is counted, held against what processes that are killed at any moment say they have done.

local accounts = require "spec.support.accounts"
local caches = require "spec.support.caches"
local redis = require "spec.support.redis"
local run = require "spec.support.run"

local PROCESSES, KILLS = 4, 24

describe("the counters", function()
    teardown(run.cleanup)

    -- Runs processes, and kills one of them KILLS times while they work, and all in the end.
    -- Returns what they say, and stats().
    local function let_work(name, server)
        local folder = run.temp_dir()
        local path, file = folder .. "/segment", folder .. "/accounts"
        run.write_file(file, accounts.empty())
        local books, row, running = accounts.open(file), 0, {}
        local cache = caches.open({ memory = "1m", path = path, redis = server and server:url(),
                                    max_stale = server and 600 }, name)

        local function start(i)
            local process = run.start_lua(
                ("arg = { %q, %q, %q, %d, %s } dofile(%q)"):format(name, path, file, row,
                    server and ("%q"):format(server:url()) or "nil",
                    run.root .. "/spec/support/counted.lua"))
            running[i] = { process = process, row = row }
            row = row + 1
        end

        local function kill(i)
            local process = running[i].process
            assert(process:alive(), process.ended and process:read_all())
            process:kill()
            assert.equal("", process:read_all())
            process:destroy()
        end

        for i = 1, PROCESSES do
            start(i)
        end
        for k = 1, KILLS do
            local i = math.random(PROCESSES)
            local before = books:sum("get")
            run.wait_until("they have done something", function()
                return books:sum("get") > before + 50 * PROCESSES
            end, 60)
            if k % 3 ~= 0 then
                run.nap(math.random(0, 3))
            end
            kill(i)
            start(i)
        end
        for i = 1, PROCESSES do
            local begun = books:sum("fetch")
            run.wait_until("loaders run", function() return books:sum("fetch") > begun end, 60)
            kill(i)
        end
        local stats = cache:stats()
        cache:close()
        return books, stats
    end

    -- least: what has been told to have happened; more: what was under way when its process was
    -- killed, and may or may not have been counted.
    local function check(what, counted, least, more)
        assert.is_true(counted >= least and counted <= least + more,
                       ("%s: %d were counted, %d have happened, and %d may have"):format(
                           what, counted, least, more))
    end

    local function check_all(books, stats)
        local gets, fetches = books:under_way("get"), books:under_way("fetch")
        local sets, deletes = books:under_way("set"), books:under_way("delete")
        local loads = books:sum("loaded") + books:sum("failed")
        assert.is_true(gets + fetches + sets + deletes <= KILLS + PROCESSES)
        assert.equal(0, books:sum("found"))
        check("hits", stats.hits, books:sum("hit"), gets)
        check("misses", stats.misses, books:sum("miss") + loads, gets + fetches)
        check("lookups", stats.hits + stats.misses,
              books:sum("hit") + books:sum("miss") + loads, gets + fetches)
        -- A shard that is emptied, its holder having been killed, is a change that overtakes them.
        check("loaders", stats.fetch.loads + stats.fetch.abandoned, books:sum("loaded"), fetches)
        check("loaders' errors", stats.fetch.load_errors, books:sum("failed"), fetches)
        check("loaders' times", stats.fetch.load.count, loads, fetches)
        assert.equal(stats.hits, stats.hit_count)
        assert.is_true(stats.memory.near_hits > 0)
        assert.is_true(books:sum("hit") > 1000 and books:sum("stored") > 100 and loads > 10)
        return sets, deletes, fetches, gets
    end

    it("of memory are exact, whoever is killed", function()
        local books, stats = let_work("counts-memory")
        local sets, deletes, fetches = check_all(books, stats)
        check("sets", stats.memory.sets,
              books:sum("stored") + stats.fetch.loads - stats.fetch.unkept, sets + fetches)
        check("deletes", stats.memory.deletes, books:sum("deleted"), deletes)
        check("waits given up", stats.memory.lock_wait.count, stats.memory.lock_timeouts, math.huge)
        print(("%d lookups, %d under way in %d kills"):format(books:sum("get"),
            books:under_way("get") + sets + deletes + fetches, KILLS + PROCESSES))
    end)

    it("have each lookup once, while Redis is away too", function()
        local server = redis.start()
        local cache = caches.on(server, { max_stale = 0.3, timeout = 5 })
        local before = cache:stats()
        local hits, misses = before.hits, before.misses
        local function look(key)
            local value, _, tier = cache:get(key)
            hits, misses = hits + (value and 1 or 0), misses + (value and 0 or 1)
            local stats = cache:stats()
            assert.equal(hits .. " " .. misses, stats.hits .. " " .. stats.misses)
            return tier
        end
        for _, key in ipairs({ "a", "b", "c" }) do
            server:call("SET", cache.name .. ":" .. key, "value")
            run.wait_until("memory has it", function() return look(key) == "memory" end)
        end
        assert.is_nil(look("absent"))
        server:kill()
        run.wait_until("memory is past its freshness", function() return look("a") == "stale" end)
        assert.is_nil(look("absent"))
        cache:delete("b")
        assert.is_nil(look("b"))
        cache:set("d", "value")
        assert.is_truthy(look("d"))
        for _ = 1, 20 do
            look("a")
            look("c")
            look("absent")
            look("b")
        end
        cache:close()
    end)

    -- Each operation that Redis answers is one round trip: a get that memory could not answer, a
    -- set, a delete; a loader's result two.
    it("of Redis are exact, whoever is killed", function()
        local server = redis.start()
        local books, stats = let_work("counts-redis", server)
        local sets, deletes, fetches, gets = check_all(books, stats)
        local answered = stats.redis.hits + stats.redis.misses + books:sum("stored")
            + books:sum("deleted") + books:sum("not deleted") + stats.fetch.loads
        -- Of these both numbers are counted: a get under way may have its time and not its answer.
        check("round trips", stats.redis.round_trip.count, answered,
              gets + sets + deletes + 2 * fetches)
        assert.equal(0, stats.redis.unanswered)
        assert.is_true(stats.redis.round_trip.p50 > 0)
        assert.is_true(stats.redis.round_trip.sum > 0)
        print(("%d round trips, %d under way in %d kills"):format(stats.redis.round_trip.count,
            gets + sets + deletes + fetches, KILLS + PROCESSES))
    end)
end)
