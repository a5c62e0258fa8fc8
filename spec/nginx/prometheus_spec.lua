-- The text for Prometheus, served by one worker for all.

local nginx = require "spec.support.nginx"
local run = require "spec.support.run"

describe("a location for Prometheus", function()
    teardown(run.cleanup)

    it("has the numbers of all workers", function()
        local web = nginx.start({
            init = [[cache = assert(require("resty.tandem").new("pages", { memory = "2m" }))]],
            locations = { ["/metrics"] = [[require("resty.tandem.prometheus").serve()]] },
        })
        local one, two = unpack(web:workers())
        web:eval_in(one, "cache:set('a', '1') cache:get('a')")
        web:eval_in(two, "cache:get('a') cache:get('b')")

        local answer = web:get("/metrics")
        assert.equal(200, answer.status)
        assert.equal("text/plain; version=0.0.4; charset=utf-8", answer.headers["content-type"])
        assert.is_truthy(answer.body:find('\ntandem_hits_total{cache="pages"} 2\n', 1, true),
                         answer.body)
        assert.is_truthy(answer.body:find('\ntandem_misses_total{cache="pages"} 1\n', 1, true))
        web:quit()
        assert.same({}, web:problems())
    end)

    -- Each request does the same, and has been answered before the next one.
    it("has exact numbers over reloads and killed workers", function()
        local web = nginx.start({
            init = [[cache = assert(require("resty.tandem").new("counted", { memory = "2m" }))]],
            locations = {
                ["/metrics"] = [[require("resty.tandem.prometheus").serve()]],
                ["/work"] = [[
                    local n = ngx.var.arg_n
                    cache:get("absent")
                    cache:set("own " .. n, n)
                    for _ = 1, 5 do
                        assert(cache:get("own " .. n) == n) -- the third, and so on, near
                    end
                    assert(cache:fetch("made " .. n, function() return n end) == n)
                    ngx.print("done")
                ]],
            },
        })
        local requests = 0
        local function work(times)
            for _ = 1, times do
                requests = requests + 1
                assert.equal("done", web:get("/work?n=" .. requests).body)
            end
        end
        for _ = 1, 3 do
            work(20)
            web:await_end(web:reload())
            work(20)
            web:kill_worker(web:workers()[1])
        end
        work(20)

        local text = web:get("/metrics").body
        local function number(name)
            return tonumber(text:match("\n" .. name .. '{cache="counted"} (%S+)\n'))
        end
        assert.equal(140, requests)
        assert.equal(5 * requests, number("tandem_hits_total"))
        assert.equal(2 * requests, number("tandem_misses_total"))
        assert.equal(2 * requests, number("tandem_memory_sets_total"))
        assert.equal(3 * requests, number("tandem_memory_near_hits_total"))
        assert.equal(requests, number("tandem_fetch_loads_total"))
        assert.equal(requests, number("tandem_fetch_load_seconds_count"))
        web:quit()
        assert.same({}, web:problems({ "exited on signal 9" }))
    end)
end)
