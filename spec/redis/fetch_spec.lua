-- Loaders, with a Redis, and with others who change the key while one runs.

local caches = require "spec.support.caches"
local redis = require "spec.support.redis"
local run = require "spec.support.run"

describe("with a Redis, fetch", function()
    local server, here, there

    setup(function()
        server = redis.start()
        local options = { prefix = "p:", max_stale = 5, timeout = 10 }
        here, there = caches.on(server, options), caches.on(server, options)
    end)
    teardown(run.cleanup)
    before_each(function()
        here:clear()
    end)

    local function heard()
        return here:stats().tracking.invalidations
    end

    -- A loader of that value that meanwhile waits until this host has heard of a change.
    local function after(change, value)
        return function()
            local before = heard()
            change()
            run.wait_until("it is heard of", function() return heard() > before end)
            return value
        end
    end

    it("stores what is loaded in both tiers, once for all hosts", function()
        local loads = 0
        local function loader()
            loads = loads + 1
            return "value " .. loads, nil, 100
        end
        assert.are.same({ "value 1", nil, "loader" }, { here:fetch("key", loader) })
        assert.equal("value 1", server:call("GET", "p:key"))
        assert.is_true(server:call("TTL", "p:key") > 90)
        assert.are.same({ "value 1", nil, "memory" }, { here:fetch("key", loader) })
        assert.are.same({ "value 1", nil, "redis" }, { there:fetch("key", loader) })
        assert.equal(1, loads)
    end)

    it("does not keep what was loaded before a foreign write", function()
        local value, err, tier = here:fetch("key", after(function()
            server:call("SET", "p:key", "theirs")
        end, "outdated"))
        assert.are.same({ "outdated", nil, "loader" }, { value, err, tier })
        assert.equal("theirs", server:call("GET", "p:key"))
        assert.equal("theirs", here:get("key"))
    end)

    -- Of a key that is not there Redis tells nothing: the cache's own channel does.
    it("does not keep what was loaded before another host's delete of a key that was not there",
       function()
        local value = here:fetch("key", after(function()
            assert.is_false(there:delete("key"))
        end, "outdated"))
        assert.equal("outdated", value)
        assert.equal(0, server:call("EXISTS", "p:key"))
        assert.is_nil((here:get("key")))
    end)

    it("takes what another host has stored first", function()
        local value, err, tier = here:fetch("key", function()
            server:call("SET", "p:key", "theirs", "NX")
            return "ours"
        end)
        assert.is_nil(err)
        -- Whether the message or the answer was quicker.
        assert.is_true(value == "theirs" and tier ~= "loader"
                       or value == "ours" and tier == "loader")
        assert.equal("theirs", server:call("GET", "p:key"))
        assert.equal("theirs", here:get("key"))
    end)

    it("remembers an absence until another host stores a value", function()
        assert.are.same({ nil, nil, "loader" }, { here:fetch("key", function() return nil end) })
        local value, err, tier = here:fetch("key", error)
        assert.is_true(value == nil and err == nil and tier == "negative")
        there:set("key", "there is one")
        run.wait_until("it is seen", function()
            return here:fetch("key", function() return nil end) == "there is one"
        end)
    end)
end)
