--- The plugins of examples/ for other gateways, with what stands in there for those.

local example = require "spec.support.example"
local redis = require "spec.support.redis"
local run = require "spec.support.run"

describe("the plugin", function()
    local server

    setup(function()
        server = redis.start()
    end)
    teardown(run.cleanup)

    before_each(function()
        server:call("FLUSHALL")
    end)

    it("for Kong asks a directory once, and knows also who is not in it", function()
        local url, directory, folder = example.start("kong-plugin", server, {
            { "kong/plugins/tandem-account/handler.lua", "redis = conf.redis",
                "redis = conf.redis, timeout = 20, connect_timeout = 20" },
            { "nginx.conf", "# Plays the directory.", "access_log asked;" },
        })
        local function asked()
            local _, lines = run.read_file(folder .. "/asked"):gsub("GET /accounts/of%-", "")
            return lines
        end
        for _ = 1, 3 do
            assert.are.equal("welcome, zoe\n", example.curl("-H", "apikey: of-zoe", url))
            assert.are.equal("401", example.status("-H", "apikey: of-nobody", url))
        end
        assert.are.equal(2, asked())
        assert.are.equal("503", example.status("-H", "apikey: of-error", url))
        assert.are.equal("503", example.status("-H", "apikey: of-error", url))
        assert.are.equal(4, asked())
        assert.are.equal('{"message":"No API key"}\n', example.curl(url))
        assert.are.equal("500", example.status(directory .. "accounts/of-error"))

        local keys = server:call("KEYS", "account:[^#]*")
        assert.are.equal(1, #keys)
        assert.are.equal("zoe", server:call("GET", keys[1]))
        local left = server:call("PTTL", keys[1])
        assert.is_true(left > 600000 and left <= 660000, left)
    end)

    it("for Kong has a schema that says what must be given", function()
        local folder = run.root .. "/examples/kong-plugin"
        local said, status = run.run({ run.luajit, "-e", ([[
            package.path = %q .. "/?.lua;" .. package.path
            local stand_in = require "stand-in.schema"
            local schema = require "kong.plugins.tandem-account.schema"
            local conf = stand_in.configure(schema, { redis = "redis://r", directory = "d" })
            print(conf.redis, conf.directory, conf.ttl)
            print(pcall(stand_in.configure, schema, { redis = "redis://r" }))
        ]]):format(folder) })
        assert.are.equal(0, status, said)
        assert.is_truthy(said:find("^redis://r\td\t60\nfalse\t.*directory is a string\n$"),
            said)
    end)

    it("for APISIX is a switch that others turn in Redis, and asks it once only", function()
        local url = example.start("apisix-plugin", server, {
            { "apisix/plugins/tandem-switch.lua", "neg_ttl = REMEMBERED",
                "neg_ttl = REMEMBERED, timeout = 20, connect_timeout = 20" },
        })
        local function reads()
            local said = server:call("INFO", "commandstats")
            return tonumber(said:match("cmdstat_get:calls=(%d+)")) or 0
        end
        run.wait_until("requests do not ask Redis", function()
            local before = reads()
            for _ = 1, 20 do
                assert.are.equal("welcome\n", example.curl(url))
            end
            return reads() == before
        end)
        server:call("SET", "switch:home", "back at noon")
        run.wait_until("the route is off", function()
            return example.curl(url) == '{"message":"back at noon"}\n'
        end)
        assert.are.equal("503", example.status(url))
        server:call("DEL", "switch:home")
        run.wait_until("the route is on again", function()
            return example.status(url) == "200"
        end)
    end)
end)
