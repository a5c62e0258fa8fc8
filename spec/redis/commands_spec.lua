-- What the library tells Redis: seen by MONITOR, and by a peer that holds its answers back.

local caches = require "spec.support.caches"
local peer = require "spec.support.peer"
local redis = require "spec.support.redis"
local run = require "spec.support.run"

describe("what Redis is told", function()
    local server

    setup(function() server = redis.start() end)
    teardown(run.cleanup)
    before_each(function() server:call("FLUSHALL") end)

    -- A cache that is connected already, its prefix being "p:", and a monitor.
    local function open(options)
        options = options or {}
        options.prefix = options.prefix or "p:"
        local cache = caches.on(server, options)
        assert.is_nil((select(2, cache:get("warm-up"))))
        return cache, server:monitor()
    end

    it("is nothing on a hit in memory", function()
        local cache, monitor = open()
        cache:set("key", "value", 100)
        monitor:commands()
        for _ = 1, 100 do
            assert.are.equal("value", (cache:get("key")))
            assert.is_true(cache:exists("key"))
            assert.is_true(cache:ttl("key") > 0)
            assert.are.equal("value", cache:get_multi({ "key" }).key)
            assert.is_true(cache:exists_multi({ "key" }).key)
            cache:stats()
        end
        assert.are.same({}, monitor:lines())
    end)

    it("is GET and PTTL on a miss, and nothing once the value is there", function()
        local cache, monitor = open()
        cache:get("key")
        assert.are.same({ "GET p:key", "PTTL p:key" }, monitor:lines())
        server:call("SET", "p:key", "value")
        monitor:commands()
        cache:get("key")
        cache:get("key")
        assert.are.same({ "GET p:key", "PTTL p:key" }, monitor:lines())
    end)

    it("is SET with PX, DEL, EXISTS, PTTL", function()
        local cache, monitor = open()
        cache:set("key", "value")
        cache:set("key", "value", 1.5)
        cache:delete("key")
        cache:exists("key")
        cache:ttl("key")
        assert.are.same({ "SET p:key value", "SET p:key value PX 1500", "DEL p:key",
                          "EXISTS p:key", "PTTL p:key" }, monitor:lines())
    end)

    it("is about what memory lacks only, when many keys are asked for", function()
        local cache, monitor = open()
        cache:set("a", "1")
        monitor:commands()
        cache:get_multi({ "a", "b" })
        assert.are.same({ "GET p:b", "PTTL p:b" }, monitor:lines())
    end)

    it("is SCAN and UNLINK for walks, never KEYS, DEL or FLUSHDB", function()
        local cache, monitor = open()
        local values = {}
        for i = 1, 2500 do
            values["key" .. i] = "x"
        end
        assert(cache:set_multi(values))
        assert(cache:set("other", "x"))
        monitor:commands()

        local function tally()
            local counts = {}
            for _, entry in ipairs(monitor:commands()) do
                counts[entry[1]] = (counts[entry[1]] or 0) + 1
                if entry[1] == "SCAN" then
                    assert.are.equal("MATCH", entry[3])
                    assert.are.equal("COUNT", entry[5])
                    assert.is_true(tonumber(entry[6]) >= 100 and tonumber(entry[6]) <= 5000)
                    counts.match = entry[4]
                end
            end
            return counts
        end

        cache:keys("key1*")
        local counts = tally()
        assert.are.equal("p:key1*", counts.match)
        assert.is_true(counts.SCAN >= 1)
        counts.SCAN, counts.match = nil, nil
        assert.are.same({}, counts)

        assert.are.equal(2500, (cache:delete_by_pattern("key*")))
        counts = tally()
        assert.are.equal("p:key*", counts.match)
        -- In batches: many keys to an UNLINK.
        assert.is_true(counts.SCAN >= 1 and counts.UNLINK >= 1 and counts.UNLINK <= 25)
        counts.SCAN, counts.UNLINK, counts.match = nil, nil, nil
        assert.are.same({}, counts)

        cache:clear()
        counts = tally()
        assert.are.equal("p:*", counts.match)
        assert.is_true(counts.SCAN >= 1)
        assert.are.equal(1, counts.UNLINK)
        counts.SCAN, counts.UNLINK, counts.match = nil, nil, nil
        assert.are.same({}, counts)
    end)

    it("has the glob characters of the prefix escaped", function()
        local cache, monitor = open({ prefix = "[p]*?\\:" })
        monitor:commands()
        cache:keys("k[ab]*")
        local entry = monitor:commands()[1]
        assert.are.equal("SCAN", entry[1])
        assert.are.equal("k[ab]*", entry[4]:sub(-6))
        server:call("SET", "[p]*?\\:ka", "x")
        server:call("SET", "pxx\\:ka", "x")
        assert.are.same({ "ka" }, (cache:keys("k[ab]*")))
    end)

    it("is nothing when others change what memory has: it is read when asked for", function()
        local cache, monitor = open({ max_stale = 0.8, timeout = 5 })
        local KEYS, writer = 100, server:connect()
        local function set_all(value)
            for i = 1, KEYS do
                writer:call("SET", "p:key" .. i, value)
            end
        end
        local function how_many(is)
            local n = 0
            for i = 1, KEYS do
                n = n + (is("key" .. i) and 1 or 0)
            end
            return n
        end
        set_all("old")
        run.wait_until("all are in memory", function()
            return how_many(function(key) return select(3, cache:get(key)) == "memory" end) == KEYS
        end)
        monitor:commands()
        set_all("new")
        run.wait_until("all are gone from it", function()
            return how_many(function(key) return select(3, cache:peek(key)) == "old" end) == 0
        end)
        local counts = {}
        run.wait_until("two heartbeats have passed", function()
            for _, entry in ipairs(monitor:commands()) do
                counts[entry[1]] = (counts[entry[1]] or 0) + 1
            end
            return (counts.SUBSCRIBE or 0) >= 2
        end)
        counts.SUBSCRIBE = nil
        assert.are.same({ SET = KEYS }, counts)
        assert.are.equal("new", (cache:get("key1")))
        writer:close()
    end)

    it("all comes over one connection of the process", function()
        local one, monitor = open()
        local seen, n = {}, 0
        for i = 1, 50 do
            one:set("key" .. i, "x")
            one:get("absent" .. i)
        end
        for _, entry in ipairs(monitor:commands()) do
            n = n + (seen[entry.client] and 0 or 1)
            seen[entry.client] = true
        end
        assert.are.equal(1, n)
    end)

    it("begins with what the URL says, and a name if one is given", function()
        local monitor = server:monitor()
        local cache = caches.on(server, { prefix = "p:", redis = { url = server:url(3),
                                                                   client_name = "spec" } })
        cache:get("key")
        local names = {}
        for _, entry in ipairs(monitor:commands()) do
            names[#names + 1] = table.concat(entry, " ")
        end
        -- MONITOR shows no SELECT before 7.2 but the database of what follows.
        assert.are.equal("CLIENT SETNAME spec", names[#names - 3])
        assert.are.equal("PING", names[#names - 2])
        assert.are.equal("GET p:key", names[#names - 1])
        assert.is_truthy(server:call("CLIENT", "LIST"):find("name=spec", 1, true))
        cache:set("key", "x")
        for _, entry in ipairs(monitor:commands()) do
            assert.are.equal(3, entry.db)
        end
    end)
end)

describe("how Redis is told", function()
    -- A peer that answers only once nothing more comes.  It records how many commands came
    -- without an answer in between, in how many reads.
    local HOLDS_BACK = peer.greeting([[
        local list, answers = c:commands(words, 0.1), {}
        for i, one in ipairs(list) do
            answers[i] = empty(one)
        end
        record("batch", #list)
        c:write(table.concat(answers))
    ]])

    local holder

    before_each(function() holder = peer.start(HOLDS_BACK) end)
    after_each(function() holder:stop() end)
    teardown(run.cleanup)

    local function open(options)
        options = options or {}
        options.redis, options.timeout, options.prefix = holder:url(), 10, "p:"
        return caches.open(options)
    end

    local function batches()
        local list = {}
        for _, line in ipairs(holder:records()) do
            list[#list + 1] = tonumber(line:match("^batch (%d+)"))
        end
        return list
    end

    local function awaited(n)
        run.wait_until("the peer has answered", function() return #batches() >= n end)
        return batches()
    end

    it("GET and PTTL go in one write", function()
        local cache = open()
        cache:get("key")
        assert.are.same({ 2 }, awaited(1))
        local lines = holder:records()
        -- connection, PING in one read, and both commands in one read.
        local reads = {}
        for _, line in ipairs(lines) do
            reads[#reads + 1] = line:match("^bytes %d+")
        end
        assert.are.equal(2, #reads)
        local both = "*2\r\n$3\r\nGET\r\n$5\r\np:key\r\n*2\r\n$4\r\nPTTL\r\n$5\r\np:key\r\n"
        assert.are.equal("bytes " .. #both, reads[2])
    end)

    it("set_multi of 100 keys is one pipeline", function()
        local cache, values = open(), {}
        for i = 1, 100 do
            values["key" .. i] = "value"
        end
        cache:set_multi(values)
        assert.are.same({ 100 }, awaited(1))
    end)

    it("so are delete_multi, exists_multi and get_multi", function()
        local cache, keys = open(), {}
        for i = 1, 100 do
            keys[i] = "key" .. i
        end
        cache:delete_multi(keys)
        cache:exists_multi(keys)
        cache:get_multi(keys)
        assert.are.same({ 100, 100, 200 }, awaited(3))
    end)

    it("writes that nobody waits for do not wait for each other", function()
        local cache = open({ write = "behind" })
        for i = 1, 50 do
            cache:set("key" .. i, "value")
        end
        local sum = 0
        run.wait_until("all have come", function()
            sum = 0
            for _, n in ipairs(batches()) do
                sum = sum + n
            end
            return sum == 50
        end)
        assert.is_true(#batches() < 10, #batches() .. " batches")
    end)
end)
