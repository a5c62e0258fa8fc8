--- One address behind which there are several servers, one after the other or side by side.  Of
-- what a server answers nothing is kept that another one would have to tell changes of.

local caches = require "spec.support.caches"
local proxy = require "spec.support.proxy"
local redis = require "spec.support.redis"
local remote = require "spec.support.remote"
local run = require "spec.support.run"

describe("servers behind one address", function()
    local one, two, way

    teardown(run.cleanup)

    before_each(function()
        one, two = redis.start(), redis.start()
        way = proxy.start(one.port)
    end)

    after_each(function()
        way:stop()
        one:stop()
        two:stop()
    end)

    local function open(path)
        return ([[
            cache = assert(require("resty.tandem").new("servers", { memory = "2m", redis = %q,
                path = %q, timeout = 5, connect_timeout = 5 }))
        ]]):format(way:url(), path)
    end

    local GET = "return { cache:get('key') }"

    it("are told apart: what another one than the tracked one answers is not kept", function()
        local path = run.temp_dir() .. "/segment"
        local first, second = remote.start(), remote.start()
        first:eval(open(path))
        run.wait_until("the link is up", function()
            first:eval("cache:get('absent')")
            return first:call("return cache:stats().tracking.state") == "on"
        end)

        -- The second process reaches the other server, of which no link tells.
        way:lead_to(two.port)
        second:eval(open(path))
        one:call("SET", "servers:key", "of one")
        two:call("SET", "servers:key", "of two")
        for _ = 1, 3 do
            assert.are.same({ "of two", nil, "redis" }, second:call(GET))
        end
        assert.are.equal(3, second:call("return cache:stats().tracking.strangers"))
        -- Nor is what it writes there.
        assert.is_true(second:call("return cache:set('key', 'written to two')"))
        assert.are.same({ "of one", nil, "redis" }, first:call(GET))
        run.wait_until("it is in memory", function() return first:call(GET)[3] == "memory" end)
        one:call("SET", "servers:key", "changed")
        run.wait_until("the change is seen", function()
            return first:call(GET)[1] == "changed"
        end)
        -- A link to the other server does not continue the cover of the first one.
        run.wait_until("a second link is made", function()
            return second:call("return cache:stats().tracking.links") == 2
        end)
        assert.are.equal(0, second:call("return cache:stats().tracking.gaps"))
        run.nap(1000) -- two heartbeats: time enough to count, were it to the same server
        assert.are.equal(1, second:call("return cache:stats().tracking.covering"))
        first:stop()
        second:stop()
    end)

    it("may follow one another: nothing of the first is fresh then", function()
        local path = run.temp_dir() .. "/segment"
        local process = remote.start()
        process:eval(open(path))
        run.wait_until("the link is up", function()
            process:eval("cache:get('absent')")
            return process:call("return cache:stats().tracking.state") == "on"
        end)
        one:call("SET", "servers:key", "of one")
        two:call("SET", "servers:key", "of two")
        assert.are.same({ "of one", nil, "redis" }, process:call(GET))
        -- Not at once where the message of the change comes after the answer.
        run.wait_until("it is in memory", function() return process:call(GET)[3] == "memory" end)
        way:lead_to(two.port)
        one:kill()
        run.wait_until("the value of the second server is served", function()
            return process:call(GET)[1] == "of two"
        end)
        run.wait_until("its link is up, after a gap", function()
            return process:call("return cache:stats().tracking.gaps") == 1
                and process:call("return cache:stats().tracking.state") == "on"
        end)
        assert.are.equal(1, process:call("return cache:stats().tracking.gaps"))
        run.wait_until("it is in memory", function() return process:call(GET)[3] == "memory" end)
        two:call("SET", "servers:key", "changed")
        run.wait_until("the change is seen", function()
            return process:call(GET)[1] == "changed"
        end)
        process:stop()
    end)

    it("where one is restarted on its port, nothing of before is fresh", function()
        local cache = caches.on(one, { max_stale = 2, timeout = 5 })
        local name = cache.name .. ":key"
        one:call("SET", name, "before")
        run.wait_until("it is in memory", function()
            return select(3, cache:get("key")) == "memory"
        end)
        one:restart()
        one:call("SET", name, "after")
        run.wait_until("the new value is served", function() return cache:get("key") == "after" end)
        run.wait_until("tracking is on", function()
            return cache:stats().tracking.state == "on" and cache:stats().tracking.gaps == 1
        end)
        assert.are.equal("after", cache:get("key"))
        cache:close()
    end)
end)
