-- Where Redis is, who we say we are, and what is never told to anybody.

local caches = require "spec.support.caches"
local redis = require "spec.support.redis"
local run = require "spec.support.run"
local show = require "spec.support.show"
local tandem = require "resty.tandem"

local PASSWORD = "s3cret@ss:w/o r%d?#"
local ESCAPED = "s3cret%40ss%3Aw%2Fo%20r%25d%3F%23"

describe("an address of Redis", function()
    local open_server, closed_server

    setup(function()
        open_server = redis.start()
        closed_server = redis.start({ password = PASSWORD, arguments = {
            "--user", "ali:ce", "on", ">" .. PASSWORD, "~*", "+@all",
        } })
    end)
    teardown(run.cleanup)

    -- The cache works, and its key is where it should be.
    local function check(server, url, db)
        local cache = caches.open({ redis = url, prefix = "p:" })
        local client = server:connect()
        client:call("FLUSHALL")
        assert.are.equal("true", show(cache:set("key", "value")))
        client:call("SELECT", db or 0)
        assert.are.equal("value", client:call("GET", "p:key"))
        assert.are.equal(1, client:call("DBSIZE"))
        client:call("SET", "p:theirs", "value")
        client:close()
        assert.are.equal("'value' nil 'redis'", show(cache:get("theirs")))
        return cache
    end

    it("that is malformed is refused, and the option is named", function()
        local function refusal(redis_option)
            local made, err = pcall(tandem.new, "malformed",
                                    { memory = "1m", redis = redis_option })
            assert.is_false(made)
            return err
        end
        assert.is_truthy(refusal("redis://h:0"):find("opts.redis: the port is not", 1, true))
        assert.is_truthy(refusal({ url = "http://h" })
            :find("opts.redis: it must begin with", 1, true))
    end)

    it("is host and port", function()
        check(open_server, "redis://127.0.0.1:" .. open_server.port)
        check(open_server, "redis://127.0.0.1:" .. open_server.port .. "/")
    end)

    it("may be a host name", function()
        check(open_server, "redis://localhost:" .. open_server.port)
    end)

    it("may have a database", function()
        check(open_server, open_server:url(5), 5)
    end)

    it("may be a unix socket", function()
        check(open_server, "unix://" .. open_server.path)
        check(open_server, "unix://" .. open_server.path .. "?db=7", 7)
        check(closed_server, { url = "unix://" .. closed_server.path .. "?db=2",
                               password = PASSWORD }, 2)
    end)

    it("may have a password, and a user", function()
        local port = closed_server.port
        check(closed_server, "redis://:" .. ESCAPED .. "@127.0.0.1:" .. port)
        check(closed_server, "redis://default:" .. ESCAPED .. "@127.0.0.1:" .. port .. "/1", 1)
        check(closed_server, "redis://ali%3Ace:" .. ESCAPED .. "@127.0.0.1:" .. port)
        check(closed_server, { url = "redis://127.0.0.1:" .. port, password = PASSWORD })
        check(closed_server, { url = "redis://127.0.0.1:" .. port .. "/4", username = "ali:ce",
                               password = PASSWORD }, 4)
        check(closed_server, { url = "redis://nobody:wrong@127.0.0.1:" .. port,
                               username = "ali:ce", password = PASSWORD })
    end)

    it("with a wrong or no password is an error that says so, and no secrets", function()
        local cases = {
            { url = "redis://:s3cret0@127.0.0.1:" .. closed_server.port, says = "WRONGPASS" },
            { url = "redis://ali%3Ace:s3cret0@127.0.0.1:" .. closed_server.port,
              says = "WRONGPASS" },
            { url = { url = closed_server:url(), username = "b0b", password = "s3cret0" },
              says = "WRONGPASS" },
            { url = closed_server:url(), says = "NOAUTH" },
        }
        for _, case in ipairs(cases) do
            for _, policy in ipairs({ "fail", "degrade" }) do
                local cache = caches.open({ redis = case.url, on_redis_error = policy })
                local heard = {}
                heard[1] = select(2, cache:get("key"))
                heard[2] = select(2, cache:set("key", "value"))
                heard[3] = select(2, cache:keys())
                heard[4] = select(2, cache:get_multi({ "other" }))
                heard[5] = select(2, cache:delete("absent"))
                for i, err in ipairs({ heard[1], heard[2], heard[3], heard[4], heard[5] }) do
                    assert.is_truthy(err:find(case.says, 1, true), i .. ": " .. err)
                    assert.is_truthy(err:find("127.0.0.1:" .. closed_server.port, 1, true), err)
                    assert.is_nil(err:find("s3cret0", 1, true), err)
                    assert.is_nil(err:find("b0b", 1, true), err)
                end
                -- In memory it was done under one policy and not under the other.
                assert.are.equal(policy == "degrade" and "value" or nil, (cache:get("key")))
                local stats = show(cache:stats())
                assert.is_nil(stats:find("s3cret0", 1, true), stats)
            end
        end
    end)

    it("whose password is mended is used again", function()
        local server = redis.start({ password = "s3cret before" })
        local cache = caches.open({ redis = { url = server:url(), password = "s3cret after" } })
        assert.is_nil((cache:get("key")))
        assert.is_truthy(select(2, cache:get("key")))
        server:call("CONFIG", "SET", "requirepass", "s3cret after")
        run.wait_until("the cache gets in", function()
            return select("#", cache:get("key")) > 0 and not select(2, cache:get("key"))
        end)
        server:stop()
    end)

    it("with a database that is not there is an error that names it", function()
        local cache = caches.open({ redis = open_server:url(999) })
        local _, err = cache:get("key")
        assert.is_truthy(err:find("DB index is out of range", 1, true), err)
    end)

    it("where nobody listens is an error that names it", function()
        local port = redis.free_port()
        local cache = caches.open({ redis = "redis://127.0.0.1:" .. port })
        local value, err = cache:get("key")
        assert.is_nil(value)
        assert.is_truthy(err:find("127.0.0.1:" .. port, 1, true), err)
        assert.is_truthy(err:lower():find("refused", 1, true), err)

        cache = caches.open({ redis = "unix:///nowhere/at-all.sock" })
        value, err = cache:get("key")
        assert.is_nil(value)
        assert.is_truthy(err:find("/nowhere/at-all.sock", 1, true), err)
    end)

    it("whose host cannot be found is an error within connect_timeout or so", function()
        local cache = caches.open({ redis = "redis://no-such-host.invalid:6379",
                                    connect_timeout = 0.5 })
        local began = run.now()
        local value, err = cache:get("key")
        assert.is_nil(value)
        assert.is_truthy(err:find("no-such-host.invalid", 1, true), err)
        assert.is_true(run.now() - began < 3)
    end)

    it("that is malformed raises, and says no secrets", function()
        for _, url in ipairs({
            "", "127.0.0.1:6379", "http://s3cret@127.0.0.1", "redis://", "redis://:s3cret@",
            "redis://:s3cret@127.0.0.1:port", "redis://:s3cret@127.0.0.1:0",
            "redis://:s3cret@127.0.0.1:65536", "redis://:s3cret@127.0.0.1:-1",
            "redis://:s3cret@127.0.0.1/one", "redis://:s3cret@127.0.0.1/-1",
            "redis://:s3cret@127.0.0.1/0/0", "redis://:s3cret%@127.0.0.1",
            "redis://:s3cret%4@127.0.0.1", "redis://:s3cret%zz@127.0.0.1",
            "redis://:s3cret%00@127.0.0.1", "redis://:s3cret@[::1", "unix://", "unix:s3cret",
            "unix://relative/s3cret", "unix:///path?db=s3cret", "unix:///path?s3cret=1",
            "unix:///" .. ("long"):rep(40), "redis://:" .. ("s3cret"):rep(4000) .. "@127.0.0.1",
            "redis:/127.0.0.1", "redis//127.0.0.1", " redis://127.0.0.1", "redis://127.0.0.1 ",
            "redis://127.0.0.1?db=1", "redis://127.0.0.1#s3cret",
            "redis://:s3cret@127.0.0.1:6379:6380", "redis://127.0.0.1\0", "redis://a\nb",
        }) do
            local ok, err = pcall(tandem.new, "malformed", { redis = url, memory = "1m" })
            assert.is_false(ok, "taken: " .. show(url:sub(1, 99)))
            assert.is_truthy(err:lower():find("redis", 1, true), err)
            assert.is_nil(err:find("s3cret", 1, true), err)
        end
    end)

    -- What else there is of TLS: tls_spec.lua.
    it("without TLS takes no options of TLS", function()
        for _, option in ipairs({
            { url = "redis://:s3cret@127.0.0.1", tls = {} },
            { url = "redis://127.0.0.1", password = "s3cret", tls = { verify = false } },
            { url = "unix:///tmp/s3cret.sock", tls = { ca = "/s3cret.pem" } },
            { url = "redis://rediss@127.0.0.1", tls = { server_name = "rediss://h" } },
        }) do
            local ok, err = pcall(tandem.new, "plain", { redis = option })
            assert.is_false(ok)
            assert.is_truthy(err:find("opts.redis.tls is given, but opts.redis.url does not begin"
                .. " with rediss://", 1, true), err)
            assert.is_nil(err:find("s3cret", 1, true), err)
        end
    end)

    it("is part of a cache's identity, and no secret of it is shown", function()
        caches.on(open_server, {}, "identity")
        for _, other in ipairs({ open_server:url(1), "redis://:s3cret@127.0.0.1:1",
                                 "unix://" .. open_server.path }) do
            local ok, err = pcall(tandem.new, "identity", { redis = other, memory = "2m" })
            assert.is_false(ok)
            assert.is_truthy(err:find("redis", 1, true), err)
            assert.is_nil(err:find("s3cret", 1, true), err)
        end
        local ok, err = pcall(tandem.new, "identity",
                              { redis = open_server:url(), memory = "2m", prefix = "other:" })
        assert.is_false(ok)
        assert.is_truthy(err:find("prefix", 1, true), err)
        assert.is_truthy(tandem.new("identity", { redis = open_server:url(), memory = "2m" }))
    end)
end)
