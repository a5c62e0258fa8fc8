-- A Redis that stands still must not be felt by requests that do not need it.

local http = require "spec.support.http"
local nginx = require "spec.support.nginx"
local redis = require "spec.support.redis"
local run = require "spec.support.run"

local TIMEOUT = 1

describe("while Redis is stopped", function()
    local server, web

    setup(function()
        server = redis.start()
        -- One worker, so that what is measured runs where the others wait.
        web = nginx.start({
            workers = 1,
            init = ([[cache = assert(require("resty.tandem").new("web", { redis = %q, prefix = "p:",
                tracking = false, timeout = %g }))
                tracked = assert(require("resty.tandem").new("tracked", { redis = %q }))]])
                :format(server:url(), TIMEOUT, server:url()),
            locations = {
                ["/hit"] = [[ ngx.print((cache:get("hot"))) ]],
                ["/miss"] = [[
                    local value, err = cache:get("absent" .. ngx.var.arg_n)
                    ngx.print(tostring(value), " ", tostring(err))
                ]],
                ["/set"] = [[
                    local ok, err = cache:set("key" .. ngx.var.arg_n, "value")
                    ngx.print(tostring(ok), " ", tostring(err))
                ]],
                ["/keys"] = [[
                    local list, err = cache:keys()
                    ngx.print(tostring(list), " ", tostring(err))
                ]],
                ["/walk"] = [[
                    local list, err = cache:get_multi({ "absent1", "absent2", "hot" })
                    ngx.print(list.hot, " ", tostring(err))
                ]],
            },
        })
        assert.are.equal("true", web:eval("return cache:set('hot', 'value')"))
    end)
    teardown(run.cleanup)
    after_each(function() server:mend() end)

    -- n requests one after the other, alternately to both; each sees the loop's delays.
    local function measure(n)
        local requests = {}
        for i = 1, n do
            requests[i] = web:get(i % 2 == 0 and "/plain" or "/hit")
            assert.are.equal(i % 2 == 0 and "plain" or "value", requests[i].body, requests[i].err)
        end
        return requests
    end

    it("requests that do not need it are as quick as before; those that do answer in time",
       function()
        measure(100)
        local before = http.quantile(measure(400), 0.99)

        server:freeze()
        local stalled, began = {}, run.now()
        for _, uri in ipairs({ "/miss?n=", "/set?n=", "/keys?n=", "/walk?n=" }) do
            for n = 1, 10 do
                stalled[#stalled + 1] = http.send(web, uri .. n)
            end
        end
        local during = {}
        repeat
            for _, request in ipairs(measure(20)) do
                during[#during + 1] = request
            end
        until run.now() - began > TIMEOUT * 0.8
        -- None of them has had its answer while all that was measured.
        local waiting = 0
        for _, request in ipairs(stalled) do
            waiting = waiting + (request:is_waiting() and 1 or 0)
        end
        assert.are.equal(40, waiting)
        http.finish(stalled, 10)
        server:thaw()

        for _, request in ipairs(stalled) do
            assert.are.equal(200, request.status, request.err)
            -- What Redis was asked for times out; what memory has is there.
            assert.is_truthy(request.body:find("127.0.0.1:" .. server.port, 1, true), request.body)
            assert.is_true(request.seconds < 3 * TIMEOUT + 2, request.body)
        end
        assert.is_true(#during >= 100)
        local after = http.quantile(during, 0.99)
        -- Blocked for any of them, it would be near the time-out.
        assert.is_true(after < math.max(10 * before, 0.02),
                       ("p99 %.2f ms before, %.2f ms during"):format(before * 1000, after * 1000))
        assert.is_true(http.quantile(during, 1) < TIMEOUT / 3)
        assert.are.same({}, web:problems())
    end)

    it("and for longer, with the breaker open, every request is quick", function()
        server:freeze()
        run.wait_until("the library has given up on it", function()
            return web:get("/miss?n=" .. run.now()).seconds < 0.1
        end)
        local began, slow = run.now(), 0
        for i = 1, 200 do
            slow = math.max(slow, web:get("/miss?n=x" .. i).seconds)
        end
        assert.is_true(run.now() - began < TIMEOUT * 4)
        assert.is_true(slow < TIMEOUT / 2, slow)
        server:thaw()
        run.wait_until("it is used again", function()
            return web:get("/set?n=again").body == "true nil"
        end)
        assert.are.same({}, web:problems())
    end)

    it("what was known to be in memory is there throughout", function()
        server:freeze()
        for _ = 1, 3 do
            http.many(web, 30, "/miss?n=1", { seconds = 10 })
            for _, request in ipairs(http.many(web, 30, "/hit")) do
                assert.are.equal("value", request.body)
            end
        end
        server:thaw()
    end)

    it("or away, it costs no processor time to wait for it", function()
        web:eval("return tracked:get('key')")
        server:kill()
        run.wait_until("it is found to be away", function()
            return web:eval("return tracked:get('key'), tracked:stats().redis.state")
                :find("'down'", 1, true)
        end)
        local worker = web:workers()[1]
        local before = run.cpu_of(worker)
        run.nap(3000)
        local cost = run.cpu_of(worker) - before
        assert.is_true(cost < 0.15, cost .. " s of 3")
    end)
end)
