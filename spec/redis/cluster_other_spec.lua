--- Two Redis Clusters, of which a URL names nodes of both, or one takes the other's place: what is
-- of the one is never read from the other, or written to it, without a word.

local C = require("resty.tandem.lib").C
local caches = require "spec.support.caches"
local clusters = require "spec.support.clusters"
local run = require "spec.support.run"
local show = require "spec.support.show"
local tandem = require "resty.tandem"

local GONE_MS = 60000 -- after so long without a sign of it a cluster is taken for gone

local function says(expected, err)
    assert.is_truthy(tostring(err):find(expected, 1, true), tostring(err))
end

describe("of two Redis Clusters", function()
    local ours, theirs, cache, logged

    -- Theirs is of the later epoch: it is not that which keeps it from being taken.
    setup(function()
        ours = clusters.start { masters = 2 }
        theirs = clusters.start { masters = 1, epoch = 100 }
    end)
    teardown(function()
        ours:stop()
        theirs:stop()
        run.cleanup()
    end)
    before_each(function()
        logged = {}
        tandem.set_logger(function(level, message)
            logged[#logged + 1] = level .. ": " .. message
        end)
    end)
    after_each(function()
        tandem.set_logger(nil)
        cache:close()
        for _, node in ipairs(ours.nodes) do
            node:thaw()
        end
        ours:await()
    end)

    local function open(first, second)
        cache = caches.on(nil, { redis = first:url() .. "," .. second:url():match("//(.*)$"),
                                 max_stale = 1, timeout = 0.25, connect_timeout = 0.5 })
        return cache
    end

    local function await_trouble(words)
        run.wait_until("it is noticed", function()
            cache:get("absent")
            return (cache:stats().redis.trouble or ""):find(words, 1, true)
        end)
        for _, line in ipairs(logged) do
            if line:find(words, 1, true) then
                says('warn: cache "' .. cache.name .. '": redis+cluster 127.0.0.1:', line)
                return
            end
        end
        error("not logged: " .. table.concat(logged, "\n"))
    end

    local function sizes()
        local n = 0
        for _, node in ipairs(ours.nodes) do
            n = n + #node:call("KEYS", cache.name .. ":key*")
        end
        return n, #theirs.nodes[1]:call("KEYS", cache.name .. ":key*")
    end

    it("that a URL names the first is used, and the other is said to be another", function()
        open(ours, theirs)
        for i = 1, 50 do
            assert.are.equal("true", show(cache:set("key" .. i, "value")))
        end
        await_trouble(("127.0.0.1:%d is a node of another cluster than 127.0.0.1:%d: it is not")
                      :format(theirs.nodes[1].port, ours.nodes[1].port))
        for i = 1, 50 do
            assert.are.equal("true", show(cache:set("key" .. i, "again")))
        end
        assert.are.same({ 50, 0 }, { sizes() })
    end)

    it("that a URL names the first is used, whichever is of the later epoch", function()
        open(theirs, ours)
        await_trouble(("is a node of another cluster than 127.0.0.1:%d: it is not")
                      :format(theirs.nodes[1].port))
        assert.are.equal("true", show(cache:set("key", "value")))
        assert.are.same({ 0, 1 }, { sizes() })
    end)

    it("the other is not used where the one is away, but when it has been so for a minute",
       function()
        open(ours, theirs)
        assert.are.equal("true", show(cache:set("key", "ours")))
        for _, node in ipairs(ours.nodes) do
            node:freeze()
        end
        run.wait_until("all are known to be away", function()
            for i = 1, 30 do
                cache:get("absent" .. i)
            end
            return cache:stats().redis.state == "down"
        end, 20)
        await_trouble("is not used")
        -- Longer than any pause between two attempts to hear of the cluster.
        local until_then = run.now() + 2
        run.wait_until("some time has passed", function()
            local ok, err = cache:set("key", "meanwhile")
            says("queued: redis", tostring(ok and err))
            return run.now() > until_then
        end)
        assert.are.same({}, theirs.nodes[1]:call("KEYS", cache.name .. ":*"))
        C.tandem_clock_shift(GONE_MS)
        run.finally(function() C.tandem_clock_shift(-GONE_MS) end)
        await_trouble(("the cluster that was known is gone: 127.0.0.1:%d is a node of another")
                      :format(theirs.nodes[1].port))
        run.wait_until("the other is used", function()
            return show(cache:set("key", "theirs")) == "true"
        end)
        assert.are.equal("theirs", theirs.nodes[1]:call("GET", cache.name .. ":key"))
        for _, node in ipairs(ours.nodes) do
            node:thaw()
        end
        ours:await()
        -- It stays so: now those are the others.
        assert.are.equal("true", show(cache:set("key", "again")))
        assert.are.equal("again", theirs.nodes[1]:call("GET", cache.name .. ":key"))
    end)

    it("the one that was set up anew at the same addresses is used at once", function()
        local node = theirs.nodes[1]
        open(theirs, theirs)
        assert.are.equal("true", show(cache:set("key", "before")))
        node:call("FLUSHALL")
        node:call("CLUSTER", "RESET", "HARD")
        node:call("CLUSTER", "ADDSLOTSRANGE", 0, clusters.SLOTS - 1)
        await_trouble(("the cluster that was known is gone: 127.0.0.1:%d is a node of another")
                      :format(node.port))
        run.wait_until("it is used", function()
            local value, _, tier = cache:get("key")
            assert.is_true(value ~= "before" or tier == "stale")
            return show(cache:set("key", "after")) == "true"
        end)
        assert.are.equal("after", node:call("GET", cache.name .. ":key"))
    end)
end)
