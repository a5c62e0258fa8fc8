--- Whatever changes a key in Redis, by whatever means, memory does not have the old one after it.

local caches = require "spec.support.caches"
local redis = require "spec.support.redis"
local resp = require "spec.support.resp"
local run = require "spec.support.run"

describe("memory no longer has what Redis has changed by", function()
    local server, cache, client

    setup(function()
        server = redis.start()
        cache = caches.on(server, { max_stale = 4, timeout = 5, memory = "16m" })
    end)

    teardown(run.cleanup)

    before_each(function() client = server:connect() end)
    after_each(function() client:close() end)

    local function name(key)
        return cache.name .. ":" .. key
    end

    -- Words of a command, "%s" standing for the key's name in Redis.
    local function call(words)
        local full = {}
        for i, word in ipairs(words) do
            full[i] = word:gsub("%%(%w+)", name)
        end
        local answer = client:call(unpack(full))
        if type(answer) == "table" and answer.err then
            error(answer.err, 2)
        end
        return answer
    end

    local function in_memory(key)
        local _, _, value = cache:peek(key)
        return value
    end

    -- Waits until all that Redis has changed so far has been heard of: messages come in order, so
    -- that memory's losing a mark that was set after it all says that those before have come.
    local marks = 0
    local function hear()
        marks = marks + 1
        local mark = "mark" .. marks
        call({ "SET", "%" .. mark, "old" })
        run.wait_until("the mark is in memory", function()
            return select(3, cache:get(mark)) == "memory"
        end)
        call({ "SET", "%" .. mark, "new" })
        run.wait_until("the mark is heard of", function() return in_memory(mark) ~= "old" end)
    end

    local function set(key, value, ...)
        call({ "SET", "%" .. key, value, ... })
        hear()
    end

    local function cached(key, value, ...)
        set(key, value, ...)
        run.wait_until(key .. " is in memory, under the lease", function()
            local got, err, tier = cache:get(key)
            assert(not err, err)
            return got == value and tier == "memory"
        end)
    end

    local function gone(key, old)
        run.wait_until("memory has dropped " .. key, function() return in_memory(key) ~= old end)
    end

    local CHANGES = {
        { "SET", "%key", "new" }, { "DEL", "%key" }, { "UNLINK", "%key" }, { "GETDEL", "%key" },
        { "APPEND", "%key", "more" }, { "SETRANGE", "%key", "1", "x" }, { "GETSET", "%key", "new" },
        { "MSET", "%other", "1", "%key", "2" }, { "INCR", "%number" },
        { "SETBIT", "%key", "1", "0" },
        { "EXPIRE", "%key", "100" }, { "PEXPIREAT", "%key", "99999999999999" },
        { "GETEX", "%key", "EX", "100" }, { "PERSIST", "%mortal" },
        { "RENAME", "%key", "%other" }, { "RENAME", "%other", "%key" },
        { "COPY", "%other", "%key", "REPLACE" }, { "MOVE", "%key", "3" },
        { "BITOP", "NOT", "%key", "%other" }, { "SORT", "%list", "STORE", "%key" },
        { "EVAL", "return redis.call('set', KEYS[1], 'new')", "1", "%key" },
        { "EVAL", "return redis.call('del', '%key')", "0" },
    }

    for _, change in ipairs(CHANGES) do
        local key = table.concat(change, " "):match("%%(%w+)") == "number" and "number"
            or change[1] == "PERSIST" and "mortal" or "key"
        local value = key == "number" and "17" or "old"

        it(table.concat(change, " "), function()
            call({ "DEL", "%key", "%other", "%list", "%mortal", "%number" })
            call({ "SET", "%other", "another" })
            call({ "RPUSH", "%list", "1", "2" })
            cached("bystander", "stays")
            if key == "mortal" then
                cached(key, value, "EX", "1000")
            else
                cached(key, value)
            end
            call(change)
            gone(key, value)
            assert.are.equal("stays", in_memory("bystander"))
            if change[1] == "MOVE" then
                local flushes = cache:stats().tracking.flushes
                call({ "SELECT", "3" })
                call({ "FLUSHDB" }) -- after which nothing is fresh
                run.wait_until("it is heard of", function()
                    return cache:stats().tracking.flushes > flushes
                end)
            end
        end)
    end

    it("a transaction", function()
        cached("key", "old")
        cached("other", "old")
        call({ "MULTI" })
        call({ "SET", "%key", "new" })
        call({ "DEL", "%other" })
        assert.are.equal("old", in_memory("key"))
        call({ "EXEC" })
        gone("key", "old")
        gone("other", "old")
        assert.are.equal("new", cache:get("key"))
        assert.is_nil(cache:get("other"))
    end)

    it("its time to live, to the millisecond and before any message", function()
        local began = run.now()
        set("key", "old", "PX", "1000")
        assert.are.equal("old", cache:get("key"))
        run.wait_until("it is gone", function() return in_memory("key") == nil end)
        assert.is_true(run.now() - began >= 0.95)
        assert.is_nil(cache:get("key"))
    end)

    -- Everything stops being fresh, whichever database it was.
    for _, flush in ipairs({ { "FLUSHALL" }, { "FLUSHALL", "ASYNC" }, { "FLUSHDB" },
                             { "FLUSHDB", db = "5" } }) do
        it(table.concat(flush, " ") .. (flush.db and " of another database" or ""), function()
            cached("key", "old")
            local flushes = cache:stats().tracking.flushes
            call({ "SELECT", flush.db or "0" })
            call(flush)
            run.wait_until("it is heard of", function()
                return cache:stats().tracking.flushes > flushes
            end)
            local value, err, tier = cache:get("key")
            assert.is_nil(err)
            if flush.db then
                assert.are.same({ "old", "redis" }, { value, tier })
            else
                assert.is_nil(value)
            end
        end)
    end

    it("200 000 keys in one transaction", function()
        local before = cache:stats().tracking
        for i = 1, 200 do
            cached("many" .. i * 1000, "old")
        end
        call({ "MULTI" })
        for i = 1, 200 do
            local words = { "MSET" }
            for k = i * 1000 - 999, i * 1000 do
                words[#words + 1] = name("many" .. k)
                words[#words + 1] = "new"
            end
            assert.are.equal("QUEUED", client:call(unpack(words)))
        end
        client:call("EXEC")
        for i = 1, 200 do
            gone("many" .. i * 1000, "old")
        end
        run.wait_until("all has been heard of", function()
            return cache:stats().tracking.invalidations - before.invalidations >= 200000
        end, 30)
        assert.are.equal("on", cache:stats().tracking.state)
        assert.are.equal(before.gaps, cache:stats().tracking.gaps)
        assert.are.equal("new", cache:get("many77000"))
    end)

    it("thousands of writes a second", function()
        local before = cache:stats().tracking
        local seen = {}
        for round = 1, 20 do
            local batch = {}
            for i = 1, 1000 do
                local value = ("%06d"):format(round * 1000 + i)
                batch[i] = resp.command("SET", name("quick" .. i % 100), value)
            end
            client:write(table.concat(batch))
            for i = 1, 1000 do
                if i % 50 == 0 then -- meanwhile it is read, and never an older one than before
                    local value = cache:get("quick7")
                    assert.is_true((value or "") >= (seen[1] or ""))
                    seen[1] = value
                end
                client:read()
            end
        end
        run.wait_until("every key has its last value", function()
            for i = 0, 99 do
                local last = 20000 + (i == 0 and 1000 or 900 + i)
                if cache:get("quick" .. i) ~= ("%06d"):format(last) then
                    return false
                end
            end
            return true
        end)
        assert.are.equal(before.gaps, cache:stats().tracking.gaps)
    end)

    it("another cache whose prefix overlaps", function()
        local inner = caches.on(server, { max_stale = 4, timeout = 5, prefix = name("in:") })
        cached("in:key", "old")
        assert.are.equal("old", inner:get("key"))
        assert.is_true(inner:set("key", "by the inner one"))
        gone("in:key", "old")
        assert.are.equal("by the inner one", cache:get("in:key"))
        assert.is_true(cache:set("in:key", "by the outer one"))
        run.wait_until("the inner one sees it", function()
            return inner:get("key") == "by the outer one"
        end)
        assert.is_true(cache:delete("in:key"))
        run.wait_until("the inner one sees that", function() return inner:get("key") == nil end)
        inner:close()
    end)
end)

describe("memory no longer has", function()
    teardown(run.cleanup)

    it("what Redis has evicted", function()
        local server = redis.start({ arguments = { "--maxmemory", "4mb", "--maxmemory-policy",
                                                   "allkeys-lru" } })
        local cache = caches.on(server, { max_stale = 4, timeout = 5, memory = "16m" })
        local filler = ("x"):rep(1000)
        for i = 1, 1000 do
            server:call("SET", cache.name .. ":key" .. i, filler)
            cache:get("key" .. i)
        end
        local client = server:connect()
        for i = 1, 4000 do
            client:call("SET", "filler" .. i, filler)
        end
        client:close()
        local evicted = tonumber(server:call("INFO", "stats"):match("evicted_keys:(%d+)"))
        assert.is_true(evicted > 500)
        run.wait_until("memory has nothing that Redis has not", function()
            local there = {}
            for _, key in ipairs(server:keys()) do
                there[key] = true
            end
            for i = 1, 1000 do
                local _, _, value = cache:peek("key" .. i)
                if value and not there[cache.name .. ":key" .. i] then
                    return false
                end
            end
            return true
        end)
    end)

    it("what a replica had before a full resync", function()
        local replica, master = redis.start(), redis.start()
        local cache = caches.on(replica, { max_stale = 4, timeout = 5 })
        replica:call("SET", cache.name .. ":key", "of the replica")
        master:call("SET", cache.name .. ":key", "of the master")
        run.wait_until("it is in memory", function()
            return select(3, cache:get("key")) == "memory"
        end)
        replica:call("REPLICAOF", "127.0.0.1", tostring(master.port))
        run.wait_until("it has the master's value", function()
            return replica:call("GET", cache.name .. ":key") == "of the master"
        end, 30)
        run.wait_until("so has the cache", function()
            return cache:get("key") == "of the master"
        end)
        -- And what comes by replication from then on.
        run.wait_until("it is in memory", function()
            return select(3, cache:get("key")) == "memory"
        end)
        master:call("SET", cache.name .. ":key", "changed")
        run.wait_until("the change is seen", function() return cache:get("key") == "changed" end)
    end)
end)
