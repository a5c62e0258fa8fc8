local phases = require "resty.tandem.host.phases"

-- The table of the documentation, row by row.
local EXPECTED = {
    none = { "init" },
    wait = {
        "server_rewrite", "rewrite", "access", "precontent", "content", "timer", "ssl_cert",
        "ssl_session_fetch", "proxy_ssl_cert", "proxy_ssl_verify",
    },
    queue = {
        "init_worker", "set", "header_filter", "body_filter", "log", "balancer",
        "ssl_session_store", "ssl_client_hello",
        "exit_worker", "preread", "a phase of the future", "",
    },
}

describe("the table of phases", function()
    for kind, names in pairs(EXPECTED) do
        for _, phase in ipairs(names) do
            it(('has "%s" for "%s"'):format(kind, phase), function()
                assert.are.equal(kind, phases[phase] or "queue")
            end)
        end
    end

    it("names no phase beside those", function()
        local known = {}
        for _, names in pairs(EXPECTED) do
            for _, phase in ipairs(names) do
                known[phase] = true
            end
        end
        for phase in pairs(phases) do
            assert.is_true(known[phase], phase)
        end
    end)
end)
