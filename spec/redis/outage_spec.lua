-- A real Redis that dies, stalls, refuses, and comes back.

local caches = require "spec.support.caches"
local redis = require "spec.support.redis"
local run = require "spec.support.run"
local show = require "spec.support.show"

-- More than any call may take that has timeout = 0.2: what a busy machine adds included.
local SOON = 2

describe("with Redis killed", function()
    local server, degrading, failing

    before_each(function()
        server = redis.start()
        degrading = caches.on(server, { max_stale = 0.3, timeout = 0.2 })
        failing = caches.on(server, { max_stale = 0.3, timeout = 0.2, on_redis_error = "fail" })
        for _, cache in ipairs({ degrading, failing }) do
            -- With a tracking link, an own write counts once it has been read back.
            run.wait_until("there is a tracking link", function()
                cache:get("kept")
                return cache:stats().tracking.state == "on"
            end)
            local verified = cache:stats().tracking.verifies
            assert.is_true(cache:set("kept", "value"))
            run.wait_until("the write is verified",
                           function() return cache:stats().tracking.verifies > verified end)
        end
        server:kill()
        -- What is sent before that is seen is neither in Redis nor certainly not.
        for _, cache in ipairs({ degrading, failing }) do
            run.wait_until("its loss is seen", function()
                return cache:stats().redis.state ~= "up"
            end)
        end
    end)
    after_each(run.cleanup)

    it("a get of what memory has goes on, and what only Redis knows is an error", function()
        for _, cache in ipairs({ degrading, failing }) do
            local began = run.now()
            local value, err, tier = cache:get("absent")
            assert.are.equal("nil nil", show(value, tier))
            assert.is_truthy(err:find("127.0.0.1:" .. server.port, 1, true), err)
            assert.is_true(run.now() - began < SOON)
            local there
            there, err = cache:exists("absent")
            assert.is_nil(there)
            assert.is_truthy(err)
            local values, multi_err = cache:get_multi({ "absent", "gone" })
            assert.are.equal("{}", show(values))
            assert.is_truthy(multi_err:find("2 of 2", 1, true), multi_err)
        end
    end)

    it("degrade serves what memory has as stale, fail says that Redis is away", function()
        run.wait_until("the value is stale", function()
            local value, err, tier = degrading:get("kept")
            assert.are.equal("'value' nil", show(value, err))
            return tier == "stale"
        end)
        assert.are.equal("true", show(degrading:exists("kept")))
        assert.are.equal("{kept='value'}", show((degrading:get_multi({ "kept" }))))
        run.wait_until("the value is not served as fresh", function()
            local value, err = failing:get("kept")
            assert.is_true(value == "value" or value == nil and type(err) == "string")
            return err
        end)
    end)

    it("degrade writes to memory alone and says so", function()
        local ok, note = degrading:set("key", "value")
        assert.is_true(ok)
        assert.is_truthy(note:find("^queued: .*127.0.0.1:" .. server.port), note)
        assert.are.equal("value", (degrading:get("key")))
        ok, note = degrading:set_multi({ a = "1", b = "2" })
        assert.is_true(ok)
        assert.is_truthy(note:find("^queued: "), note)
        ok, note = degrading:delete("key")
        assert.is_true(ok)
        assert.is_truthy(note:find("^queued: "), note)
        assert.is_nil((degrading:get("key")))
        assert.are.equal("down", degrading:stats().redis.state)
        assert.is_true(degrading:stats().redis.degraded_writes >= 4)
    end)

    it("fail writes nothing and leaves memory untouched", function()
        local ok, err = failing:set("kept", "new")
        assert.is_nil(ok)
        assert.is_truthy(err:find("127.0.0.1:" .. server.port, 1, true), err)
        ok, err = failing:delete("kept")
        assert.is_nil(ok)
        assert.is_truthy(err)
        ok, err = failing:set_multi({ kept = "new", other = "new" })
        assert.is_nil(ok)
        assert.is_truthy(err:find("2 of 2", 1, true), err)
        -- While it is fresh, it is served.  Later the error is.
        local value = failing:get("kept")
        assert.is_true(value == "value" or value == nil)
        server:restart()
        run.wait_until("Redis is used again",
                       function() return not select(2, failing:get("other")) end)
        assert.are.equal("nil nil nil", show(failing:get("other")))
    end)

    it("walks answer an error, and clear has emptied memory all the same", function()
        for _, cache in ipairs({ degrading, failing }) do
            local list, err = cache:keys()
            assert.is_nil(list)
            assert.is_truthy(err)
            list, err = cache:delete_by_pattern("x*")
            assert.is_nil(list)
            assert.is_truthy(err)
            list, err = cache:clear()
            assert.is_nil(list)
            assert.is_truthy(err)
            assert.are.equal(0, cache:stats().entries)
            assert.is_nil((cache:get("kept")))
        end
    end)

    it("every call answers at once after the first", function()
        degrading:get("absent")
        local began = run.now()
        for i = 1, 500 do
            degrading:get("absent" .. i)
            failing:set("absent" .. i, "x")
        end
        assert.is_true(run.now() - began < SOON)
    end)

    it("all goes on when it is back", function()
        degrading:set("key", "in memory only")
        server:restart()
        for _, cache in ipairs({ degrading, failing }) do
            run.wait_until("Redis is used again",
                           function() return not select(2, cache:get("absent")) end)
        end
        run.wait_until("what was queued is told",
                       function() return degrading:stats().redis.replayed >= 1 end)
        assert.are.equal("in memory only", server:call("GET", degrading.name .. ":key"))
        assert.are.equal("true", show(degrading:set("key", "in both")))
        assert.are.equal("in both", server:call("GET", degrading.name .. ":key"))
        assert.are.equal("up", degrading:stats().redis.state)
        assert.are.equal("true", show(failing:set("key", "in both")))
    end)

    it("a new cache can be opened, and works once Redis is there", function()
        local cache = caches.on(server, { timeout = 0.2 })
        assert.is_truthy(select(2, cache:get("key")))
        server:restart()
        run.wait_until("Redis is used",
                       function() return not select(2, cache:get("key")) end)
        assert.are.equal("true", show(cache:set("key", "value")))
    end)
end)

describe("with Redis stopped", function()
    local server, cache

    before_each(function()
        server = redis.start()
        cache = caches.on(server, { timeout = 0.2, connect_timeout = 0.2, tracking = false })
        for i = 1, 60 do
            server:call("SET", cache.name .. ":key" .. i, "value" .. i)
        end
        assert.is_true(cache:set("kept", "value"))
        server:freeze()
    end)
    after_each(run.cleanup)

    it("hits in memory cost nothing more, and misses answer within the time-out", function()
        local began = run.now()
        local value, err = cache:get("absent")
        assert.is_nil(value)
        assert.is_truthy(err:find("127.0.0.1:" .. server.port, 1, true), err)
        assert.is_true(run.now() - began < SOON)
        began = run.now()
        for _ = 1, 1000 do
            assert(cache:get("kept") == "value")
        end
        assert.is_true(run.now() - began < 0.2)
    end)

    it("a write whose outcome is unknown says so, and is served by neither tier", function()
        local ok, err = cache:set("kept", "new")
        assert.is_nil(ok)
        assert.is_truthy(err:find("unknown", 1, true), err)
        assert.is_nil((cache:get("kept")))
        server:thaw()
        run.wait_until("Redis is used again", function()
            return not select(2, cache:get("kept"))
        end)
        local value = cache:get("kept")
        assert.is_true(value == "new" or value == "value")
        assert.are.equal(server:call("GET", cache.name .. ":kept"), value)
    end)

    it("late answers go to nobody", function()
        for round = 0, 2 do
            for i = 1, 5 do
                assert.is_truthy(select(2, cache:get("key" .. round * 20 + i)))
            end
            server:thaw()
            run.wait_until("Redis is used again", function()
                return not select(2, cache:get("absent"))
            end)
            for i = round * 20 + 20, round * 20 + 1, -1 do
                assert.are.equal(show("value" .. i, nil, "redis"), show(cache:get("key" .. i)))
            end
            server:freeze()
        end
    end)
end)

describe("with Redis closing an idle connection", function()
    local server

    setup(function() server = redis.start() end)
    teardown(run.cleanup)

    it("nobody notices", function()
        local cache = caches.on(server)
        cache:get("key")
        local began = run.now()
        run.wait_until("the connection has lasted", function() return run.now() > began + 1.1 end)
        for i = 1, 2 do
            server:call("SET", cache.name .. ":key" .. i, "value")
            server:call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            assert.are.equal("'value' nil 'redis'", show(cache:get("key" .. i)))
            local again = run.now()
            run.wait_until("the connection has lasted",
                           function() return run.now() > again + 1.1 end)
        end
    end)
end)

describe("with Redis refusing", function()
    local server, degrading, failing

    setup(function() server = redis.start({ arguments = {
        "--user", "reader", "on", ">s3cret", "~*", "+@read", "+ping", "+scan",
    } }) end)
    teardown(run.cleanup)
    before_each(function()
        server:call("FLUSHALL")
        degrading = caches.on(server)
        failing = caches.on(server, { on_redis_error = "fail" })
    end)

    -- Both caches hold a value; then writes are refused with this error.
    local function check_refused(pattern, refuse, allow)
        assert.is_true(degrading:set("kept", "value"))
        assert.is_true(failing:set("kept", "value"))
        refuse()
        local ok, err = pcall(function()
            local done, note = degrading:set("key", "value")
            assert.is_true(done)
            assert.is_truthy(note:find("^queued: .*" .. pattern), note)
            assert.are.equal("'value' nil 'memory'", show(degrading:get("key")))
            done, note = failing:set("kept", "new")
            assert.is_nil(done)
            assert.is_truthy(note:find(pattern), note)
            assert.are.equal("'value' nil 'memory'", show(failing:get("kept")))
            -- A refusal is an answer: the connection is as good as before.
            assert.are.equal("nil nil nil", show(failing:get("absent")))
            assert.are.equal("up", failing:stats().redis.state)
            assert.is_true(failing:stats().redis.errors >= 1)
        end)
        allow()
        assert(ok, err)
        assert.are.equal("true", show(failing:set("kept", "new")))
        assert.are.equal("new", server:call("GET", failing.name .. ":kept"))
    end

    it("for want of memory: OOM", function()
        check_refused("OOM", function() server:call("CONFIG", "SET", "maxmemory", "1") end,
                      function() server:call("CONFIG", "SET", "maxmemory", "0") end)
    end)

    it("as a replica: READONLY", function()
        local port = redis.free_port()
        check_refused("READONLY", function() server:call("REPLICAOF", "127.0.0.1", port) end,
                      function() server:call("REPLICAOF", "NO", "ONE") end)
    end)

    it("a user who may only read: NOPERM", function()
        local cache = caches.open({ redis = { url = server:url(), username = "reader",
                                              password = "s3cret" } })
        server:call("SET", cache.name .. ":theirs", "value")
        assert.are.equal("'value' nil 'redis'", show(cache:get("theirs")))
        assert.are.same({ "theirs" }, (cache:keys()))
        local ok, note = cache:set("key", "value")
        assert.is_true(ok)
        assert.is_truthy(note:find("^queued: .*NOPERM"), note)
        assert.are.equal("'value' nil 'memory'", show(cache:get("key")))
        local cleared, err = cache:clear()
        assert.is_nil(cleared)
        assert.is_truthy(err:find("NOPERM", 1, true), err)
    end)

    it("a key of another type: WRONGTYPE", function()
        for _, cache in ipairs({ degrading, failing }) do
            server:call("HSET", cache.name .. ":hash", "field", "value")
            local value, err, tier = cache:get("hash")
            assert.are.equal("nil nil", show(value, tier))
            assert.is_truthy(err:find("WRONGTYPE", 1, true), err)
            local values, multi_err = cache:get_multi({ "hash", "absent" })
            assert.are.equal("{}", show(values))
            assert.is_truthy(multi_err:find("WRONGTYPE", 1, true), multi_err)
            assert.are.equal("nil nil nil", show(cache:get("absent")))
            assert.are.equal("true", show(cache:exists("hash")))
            -- SET and DEL take any type.
            assert.are.equal("true", show(cache:set("hash", "value")))
            assert.are.equal("'value' nil 'memory'", show(cache:get("hash")))
            server:call("LPUSH", cache.name .. ":list", "x")
            assert.are.equal("true", show(cache:delete("list")))
        end
    end)
end)
