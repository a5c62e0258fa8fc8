--- Tracking as Lua sees it: its state, what is said where Redis does not track, and the rights that
-- the README says are enough.

local caches = require "spec.support.caches"
local peer = require "spec.support.peer"
local redis = require "spec.support.redis"
local run = require "spec.support.run"
local tandem = require "resty.tandem"

-- Accepts tracking and all else, and never says that anything changed.
local DEAF = [[
    for words in c.command, c do
        local first, second = words[1]:upper(), words[2] and words[2]:upper()
        if first == "CLIENT" and second == "ID" then
            c:write(":7\r\n")
        elseif first == "CLIENT" and second == "TRACKINGINFO" then
            c:write("-ERR unknown subcommand\r\n")
        elseif first == "SUBSCRIBE" then
            c:write(("*3\r\n$9\r\nsubscribe\r\n$%d\r\n%s\r\n:1\r\n"):format(#words[2], words[2]))
        else
            c:write(greet(words) or empty(words))
        end
    end
]]

describe("tracking", function()
    local server, lines

    setup(function()
        server = redis.start()
    end)

    teardown(run.cleanup)

    before_each(function()
        lines = {}
        tandem.set_logger(function(level, message)
            lines[#lines + 1] = level .. " " .. message
        end)
    end)

    after_each(function()
        tandem.set_logger(nil)
    end)

    local function user(name, ...)
        assert.are.equal("OK", server:call("ACL", "SETUSER", name, "on", ">s3cret", ...))
        return ("redis://%s:s3cret@127.0.0.1:%d"):format(name, server.port)
    end

    local function state_of(cache, wanted)
        run.wait_until("tracking is " .. wanted, function()
            cache:get("anything")
            return cache:stats().tracking.state == wanted
        end)
        return cache:stats().tracking
    end

    it("is on, and nothing need be said", function()
        local cache = caches.on(server, { max_stale = 0.5 })
        assert.is_nil(state_of(cache, "on").trouble)
        server:call("SET", cache.name .. ":key", "one")
        assert.are.equal("one", cache:get("key"))
        server:call("SET", cache.name .. ":key", "two")
        run.wait_until("the change is seen", function() return cache:get("key") == "two" end)
        assert.are.same({}, lines)
    end)

    it("is told of once where it is refused, and entries are fresh for max_stale", function()
        local url = user("refused", "~*", "&*", "+@all", "-client|tracking")
        local cache = caches.on(server, { redis = url, max_stale = 0.5 })
        run.wait_until("it is said", function()
            cache:get("anything")
            return #lines > 0
        end)
        for _ = 1, 50 do
            cache:get("absent")
            cache:get_multi({ "absent", "anything" })
            cache:stats()
        end
        assert.are.equal(1, #lines)
        local from = 'notice cache "' .. cache.name .. '" is not told of changes by Redis, so '
        assert.are.equal(1, lines[1]:find(from, 1, true), lines[1])
        local tracking = cache:stats().tracking
        assert.are.equal("unavailable", tracking.state)
        local why = "127.0.0.1:" .. server.port .. "/0: NOPERM"
        assert.is_truthy(tracking.trouble:find(why, 1, true), tracking.trouble)
        assert.are.equal(tracking.trouble, lines[1]:sub(-#tracking.trouble))
        assert.is_nil(lines[1]:find("s3cret", 1, true))

        server:call("SET", cache.name .. ":key", "one")
        local began = run.now()
        assert.are.equal("one", cache:get("key"))
        server:call("SET", cache.name .. ":key", "two")
        run.wait_until("the change is seen", function() return cache:get("key") == "two" end)
        assert.is_true(run.now() - began < 0.5 + 0.5)
    end)

    it("is told of by calls on many keys, too", function()
        local url = user("refused-many", "~*", "&*", "+@all", "-client|tracking")
        local cache = caches.on(server, { redis = url, max_stale = 0.5 })
        run.wait_until("it is said", function()
            cache:get_multi({ "a", "b" })
            return #lines > 0
        end)
    end)

    it("is told of where it is accepted and nothing comes of it", function()
        local one = peer.start(DEAF)
        local cache = caches.open({ redis = one:url(), max_stale = 0.2 })
        run.wait_until("it is said", function()
            cache:get("anything")
            return #lines > 0
        end)
        assert.is_truthy(lines[1]:find("accepted, but no message has come", 1, true), lines[1])
        assert.are.equal("unavailable", cache:stats().tracking.state)
        one:stop()
    end)

    it("keeps quiet while Redis is away, which the calls say", function()
        local one = redis.start()
        local cache = caches.on(one, { max_stale = 0.2, connect_timeout = 0.2 })
        state_of(cache, "on")
        one:kill()
        local tracking = state_of(cache, "unavailable")
        run.wait_until("the reason is known", function()
            return cache:stats().tracking.trouble
        end)
        assert.is_truthy(cache:stats().tracking.trouble:find("127.0.0.1", 1, true),
                         tracking.trouble)
        assert.are.same({}, lines)
        one:restart()
        assert.is_nil(state_of(cache, "on").trouble)
    end)

    it("says nothing where it is not asked for", function()
        local url = user("unasked", "~*", "+@all", "-client|tracking")
        local cache = caches.on(server, { redis = url, tracking = false })
        cache:get("anything")
        local tracking = cache:stats().tracking
        assert.are.equal("off", tracking.state)
        assert.is_nil(tracking.trouble)
        assert.are.equal(0, tracking.losses)
        assert.are.same({}, lines)
    end)
end)
