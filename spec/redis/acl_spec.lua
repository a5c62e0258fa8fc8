--- What a Redis user may do is changed while a cache is in use.

local caches = require "spec.support.caches"
local redis = require "spec.support.redis"
local run = require "spec.support.run"
local tandem = require "resty.tandem"

describe("a user of Redis", function()
    local server

    setup(function() server = redis.start() end)
    teardown(run.cleanup)

    before_each(function()
        server:call("ACL", "SETUSER", "app", "reset", "on", ">s3cret1", "~*", "&*", "+@all")
        tandem.set_logger(function() end)
    end)
    after_each(function() tandem.set_logger(nil) end)

    local function open(options)
        options.redis = ("redis://app:s3cret1@127.0.0.1:%d"):format(server.port)
        options.max_stale = 0.5
        return caches.on(server, options)
    end

    local function state_is(cache, wanted)
        run.wait_until("tracking is " .. wanted, function()
            cache:get("anything")
            return cache:stats().tracking.state == wanted
        end)
    end

    -- Redis lets connections go on that were there before.
    local function hang_up()
        server:call("CLIENT", "KILL", "USER", "app")
    end

    for _, change in ipairs({
        { "gets another password", { "resetpass", ">s3cret2" }, { "resetpass", ">s3cret1" },
          "WRONGPASS" },
        { "is switched off", { "off" }, { "on" }, "WRONGPASS" },
        -- What is refused tracking asks for it again after half a minute.
        { "loses all rights", { "-@all" }, { "+@all" }, "NOPERM", "unavailable" },
    }) do
        it(change[1] .. ": errors say so, and all is well when that is undone", function()
            local cache = open({ on_redis_error = "fail" })
            local other = open({ on_redis_error = "degrade" })
            assert.is_true(cache:set("key", "value"))
            assert.is_true(other:set("key", "value"))
            server:call("ACL", "SETUSER", "app", unpack(change[2]))
            hang_up()
            local err
            run.wait_until("reads say why", function()
                err = select(2, cache:get("nothing"))
                return err and err:find(change[4], 1, true)
            end)
            assert.is_truthy(err:find("127.0.0.1:" .. server.port, 1, true), err)
            assert.is_nil(err:find("s3cret", 1, true), err)
            local ok
            ok, err = cache:set("key", "other")
            assert.is_nil(ok)
            assert.is_truthy(err:find(change[4], 1, true), err)
            run.wait_until("memory carries on", function()
                return select(3, other:get("key")) == "stale"
            end)
            ok, err = other:set("key2", "meanwhile")
            assert.is_true(ok)
            assert.is_truthy(err:find("^queued: "), err)

            server:call("ACL", "SETUSER", "app", unpack(change[3]))
            run.wait_until("it is back", function() return cache:set("key", "again") end)
            assert.are.equal("again", cache:get("key"))
            run.wait_until("what was queued is told", function()
                return server:call("GET", other.name .. ":key2") == "meanwhile"
            end)
            state_is(cache, change[5] or "on")
            state_is(other, change[5] or "on")
            assert.are.equal("up", cache:stats().redis.state)
        end)
    end

    it("loses the right to one command: that one fails, until it is given back", function()
        local cache = open({ on_redis_error = "fail" })
        assert.is_true(cache:set("key", "value"))
        server:call("ACL", "SETUSER", "app", "-set")
        local ok, err = cache:set("key", "other")
        assert.is_nil(ok)
        assert.is_truthy(err:find("NOPERM", 1, true), err)
        assert.are.equal("value", cache:get("key"))
        assert.is_true(cache:delete("key"))
        assert.are.equal("up", cache:stats().redis.state)
        server:call("ACL", "SETUSER", "app", "+set")
        assert.is_true(cache:set("key", "other"))
        assert.are.equal("other", server:call("GET", cache.name .. ":key"))
    end)

    it("may no more see some keys: they fail, others do not", function()
        local cache = open({ on_redis_error = "fail" })
        server:call("ACL", "SETUSER", "app", "resetkeys", "~" .. cache.name .. ":open*")
        assert.is_true(cache:set("open", "value"))
        local ok, err = cache:set("closed", "value")
        assert.is_nil(ok)
        assert.is_truthy(err:find("NOPERM", 1, true), err)
        local values
        values, err = cache:get_multi({ "open", "closed" })
        assert.are.same({ open = "value" }, values)
        assert.is_truthy(err:find("NOPERM", 1, true), err)
    end)

    it("is wanted by a server that wanted none before", function()
        local cache = caches.on(server, { on_redis_error = "fail", max_stale = 0.5 })
        assert.is_true(cache:set("key", "value"))
        server:call("CONFIG", "SET", "requirepass", "s3cret3")
        server.password = "s3cret3"
        server:call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        server:call("CLIENT", "KILL", "TYPE", "pubsub")
        run.wait_until("it says so", function()
            local _, err = cache:get("nothing")
            return err and err:find("NOAUTH", 1, true)
        end)
        server:call("CONFIG", "SET", "requirepass", "")
        server.password = nil
        run.wait_until("it is back", function() return cache:set("key", "again") end)
        state_is(cache, "on")
    end)
end)
