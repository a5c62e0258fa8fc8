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
end)
