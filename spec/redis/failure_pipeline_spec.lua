-- Everything that a process asks of Redis goes over one connection: what that costs whom.

local caches = require "spec.support.caches"
local redis = require "spec.support.redis"
local remote = require "spec.support.remote"
local run = require "spec.support.run"
local show = require "spec.support.show"

describe("the queue to Redis", function()
    local server

    before_each(function() server = redis.start() end)
    after_each(run.cleanup)

    -- Connections to the server, but the one that asks.
    local function clients()
        local _, n = server:call("CLIENT", "LIST"):gsub("id=", "")
        return n - 1
    end

    it("is one connection, however many keys are asked for at once", function()
        local cache = caches.on(server, { timeout = 5 })
        local keys = {}
        for i = 1, 5000 do
            keys[i] = "key" .. i
        end
        assert.are.equal("{}", show(cache:get_multi(keys)))
        assert.are.equal(1, clients())
    end)

    it("is bounded in operations: what is beyond fails at once", function()
        local cache = caches.on(server, { write = "behind", timeout = 5, replay = "delete" })
        assert.are.equal("nil nil nil", show(cache:get("absent")))
        server:freeze()
        local refused, queued = nil, 0
        local began = run.now()
        for i = 1, 200000 do
            local ok, note = cache:set("key" .. i, "x")
            assert.is_true(ok)
            if note:find("already", 1, true) then
                refused = note
                break
            end
            queued = queued + 1
        end
        assert.is_truthy(refused, "never full")
        assert.is_true(run.now() - began < 4, "it took " .. run.now() - began)
        -- A read that would have to be queued fails as soon.
        began = run.now()
        local value, err = cache:get("elsewhere")
        assert.is_nil(value)
        assert.is_truthy(err:find("operations of %d+ bytes are queued already"), err)
        assert.is_true(run.now() - began < 0.1)
        assert.is_true(queued >= 1000)
        server:thaw()
        run.wait_until("there is room again", function()
            return show(cache:get("elsewhere")) == "nil nil nil"
        end)
    end)

    it("is bounded in bytes", function()
        local cache = caches.on(server, { write = "behind", timeout = 5 })
        assert.are.equal("nil nil nil", show(cache:get("absent")))
        server:freeze()
        local megabyte = ("x"):rep(1048576)
        local queued = 0
        run.wait_until("it is full", function()
            local _, note = cache:set("key", megabyte)
            queued = queued + 1
            return note:find("queued already", 1, true)
        end)
        assert.is_true(queued > 10 and queued < 1000, queued)
        server:thaw()
    end)

    it("has 10 MB values hold small ones up no longer than their bytes take", function()
        local big = caches.on(server, { timeout = 10, write = "behind" })
        local cache = caches.on(server, { timeout = 10 })
        local ten = ("x"):rep(10 * 1048576)
        local function get(from, key)
            local began = run.now()
            assert.are.equal("nil nil nil", show(from:get(key)))
            return run.now() - began
        end
        -- One alone: what a set of that size takes from end to end.
        local began = run.now()
        assert.are.equal("true", show(cache:set("key", ten)))
        local one = run.now() - began
        -- Small gets of the same connection, of which one is behind each large set.
        get(big, "absent")
        local behind = {}
        for i = 1, 10 do
            big:set("key", ten)
            behind[i] = get(big, "absent" .. i)
        end
        table.sort(behind)
        -- And of another connection, while large sets run.
        get(cache, "absent")
        local beside = {}
        for i = 1, 10 do
            big:set("key", ten)
            beside[i] = get(cache, "absent" .. i)
        end
        table.sort(beside)
        local said = ("ms: a set of 10 MB %.1f; a get behind one: median %.1f, worst %.1f; beside "
                      .. "one on another connection: median %.1f, worst %.1f"):format(one * 1000,
            behind[5] * 1000, behind[10] * 1000, beside[5] * 1000, beside[10] * 1000)
        if os.getenv("TANDEM_SAY") then
            print(said)
        end
        assert.is_true(behind[5] < 3 * one + 0.05, said)
        assert.is_true(behind[10] < 3 * one + 0.5, said)
        assert.is_true(beside[5] < 3 * one + 0.05, said)
    end)

    it("never has a get answer what was there before a set of the same process", function()
        for _, write in ipairs({ "through", "behind" }) do
            local cache = caches.on(server, { write = write, timeout = 5, tracking = true })
            -- Another process reads it all the time.
            local other = remote.start()
            other:eval(("tandem = require 'resty.tandem' run = require 'spec.support.run'"
                .. " cache = tandem.new(%q, { memory = '2m', redis = %q, timeout = 5 })")
                :format(cache.name, server:url()))
            for i = 1, 500 do
                assert.is_true((cache:set("key", write .. i)))
                local value = cache:get("key")
                assert.are.equal(write .. i, value)
                if i % 50 == 0 then
                    assert.are.equal("'" .. write .. i .. "'", other:eval(([[
                        local value
                        run.wait_until("it is there", function()
                            value = cache:get("key")
                            return value == %q
                        end)
                        return value]]):format(write .. i)))
                end
            end
        end
    end)
end)
