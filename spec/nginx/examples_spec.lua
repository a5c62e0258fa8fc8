--- Examples that are to be copied do what they say: each in a real nginx, beside a real Redis.

local example = require "spec.support.example"
local redis = require "spec.support.redis"
local run = require "spec.support.run"

local PATIENT = "redis = redis, timeout = 20, connect_timeout = 20"

describe("the examples", function()
    local server

    setup(function()
        server = redis.start()
    end)
    teardown(run.cleanup)

    local function start(name, edits)
        return example.start(name, server, edits)
    end

    -- Returns the only key that the example has made in Redis under its cache's name.  (The cache's
    -- own "#tandem:canary", by which it watches that Redis tells of changes, may be there or not.)
    local function the_key(cache)
        local keys = server:call("KEYS", cache .. ":[^#]*")
        assert.are.equal(1, #keys, table.concat(keys, " "))
        return keys[1]
    end

    local LIMITS = {
        { "limit.lua", "LIMIT, WINDOW = 5, 10 ", "LIMIT, WINDOW = 5, 600 " },
        { "limit.lua", "redis = redis", PATIENT },
    }

    it("have a rate limit that is exact, however many ask at once", function()
        local url = start("rate-limit", LIMITS)
        server:call("FLUSHALL")
        local answers = run.run({ "sh", "-c", ("seq 20 | xargs -P 10 -I {} curl -s -m 20"
            .. " -o /dev/null -w '%%{http_code}\\n' '%s?{}'"):format(url) })
        local counts = {}
        for status in answers:gmatch("%d+") do
            counts[status] = (counts[status] or 0) + 1
        end
        assert.are.same({ ["200"] = 5, ["429"] = 15 }, counts)
        local key = the_key("limit")
        assert.are.equal("20", server:call("GET", key))
        local left = server:call("PTTL", key)
        assert.is_true(left > 0 and left <= 600000)
        local refused = run.run({ "curl", "-si", "-m", "20", url })
        assert.is_truthy(refused:find("^HTTP/1.1 429 "), refused)
        local seconds = tonumber(refused:match("\nRetry%-After: (%d+)"))
        assert.is_true(seconds >= 1 and seconds <= 600)
    end)

    it("have a rate limit that lets everybody pass while Redis is away", function()
        local url = start("rate-limit", LIMITS)
        server:kill()
        for _ = 1, 10 do
            assert.are.equal("welcome\n", (run.run({ "curl", "-s", "-m", "20", url })))
        end
        server:restart()
    end)

    local TOKENS = {
        { "introspection.lua", "MAX_AGE, ABSENT_AGE = 60, 5", "MAX_AGE, ABSENT_AGE = 600, 600" },
        { "introspection.lua", "redis = redis", PATIENT },
        { "nginx.conf", "location = /introspect {",
            "location = /introspect {\nroot .; if (-f $document_root/down) { return 500; }" },
    }

    -- Returns the status of the answer to a request with a header.
    local function status_with(header, url)
        return example.status("-H", header, url)
    end

    -- Returns the status with which the API answers a token.
    local function status_for(url, token)
        return status_with("Authorization: Bearer " .. token, url)
    end

    local get = example.curl

    it("have a check of tokens that remembers the good ones, by their hash", function()
        local api, issuer = start("token-introspection", TOKENS)
        server:call("FLUSHALL")
        get(issuer .. "issue?token=abc&seconds=300")
        assert.are.equal("200", status_for(api, "abc"))
        local key = "tokens:ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=" -- SHA-256 of "abc"
        assert.are.equal(key, the_key("tokens"))
        assert.is_nil(server:call("GET", key):find("abc", 1, true))
        local left = server:call("PTTL", key)
        assert.is_true(left > 0 and left <= 300000, left)

        get(issuer .. "revoke?token=abc")
        assert.are.equal("200", status_for(api, "abc"))
        server:call("DEL", key)
        run.wait_until("the token is asked about again", function()
            return status_for(api, "abc") == "401"
        end, 60)
    end)

    it("have a check of tokens that remembers the bad ones, and no errors", function()
        local api, issuer, folder = start("token-introspection", TOKENS)
        run.write_file(folder .. "/down", "")
        assert.are.equal("503", status_for(api, "later"))
        os.remove(folder .. "/down")
        assert.are.equal("401", status_for(api, "later"))
        get(issuer .. "issue?token=later")
        assert.are.equal("401", status_for(api, "later"))

        get(issuer .. "issue?token=over&seconds=0")
        assert.are.equal("401", status_for(api, "over"))
        assert.are.equal("401", status_for(api, "no+token+;"))
        local refused = run.run({ "curl", "-si", "-m", "30", api })
        assert.is_truthy(refused:find("\nWWW%-Authenticate: Bearer\r\n"), refused)
    end)

    local SESSIONS = {
        { "session.lua", "redis = redis", PATIENT },
        { "nginx.conf", '/0", false)', '/0", true)' },
    }

    -- Logs in: returns the header with the cookie, and the answer.
    local function log_in(url, cookie)
        local answer = run.run({ "curl", "-si", "-m", "30", "-d", "user=zoe",
            "-H", cookie or "X-None: 1", url .. "login" })
        local id = answer:match("\nSet%-Cookie: sid=([%w_-]+)")
        return id and "Cookie: sid=" .. id, answer
    end

    it("have sessions with ids that are random, and hashed where others see them", function()
        local url = start("session-store", SESSIONS)
        server:call("FLUSHALL")
        local cookie, answer = log_in(url)
        assert.is_truthy(answer:find("\nSet%-Cookie: sid=" .. ("[%w_-]"):rep(43)
            .. "; Path=/; HttpOnly; SameSite=Lax; Secure\r\n"), answer)
        assert.is_nil(the_key("sessions"):find(cookie:match("=(.*)"), 1, true))
        assert.are.equal("200", status_with(cookie, url))
        assert.are.equal("401", status_with(cookie .. "x", url))
        assert.are.equal("401", status_with("X-None: 1", url))

        local second = log_in(url, cookie)
        assert.are_not.equal(cookie, second)
        assert.are.equal("401", status_with(cookie, url))
        assert.are.equal("200", status_with(second, url))
    end)

    it("have sessions that are renewed by use, and end by logging out", function()
        local url = start("session-store", SESSIONS)
        server:call("FLUSHALL")
        local cookie = log_in(url)
        local key = the_key("sessions")
        server:call("PEXPIRE", key, 600000)
        run.wait_until("the session is renewed", function()
            assert.are.equal("200", status_with(cookie, url))
            return server:call("PTTL", key) > 600000
        end, 60)

        local answer = run.run({ "curl", "-si", "-m", "30", "-X", "POST", "-H", cookie,
            url .. "logout" })
        assert.is_truthy(answer:find("\nSet%-Cookie: sid=; [^\n]*; Max%-Age=0\r\n"), answer)
        assert.are.equal(0, server:call("EXISTS", key))
        assert.are.equal("401", status_with(cookie, url))
    end)

    it("have sessions that do not begin or end while Redis is away", function()
        local url = start("session-store", SESSIONS)
        local cookie = log_in(url)
        server:kill()
        local none, answer = log_in(url)
        assert.is_nil(none)
        assert.is_truthy(answer:find("^HTTP/1.1 503 "), answer)
        answer = run.run({ "curl", "-si", "-m", "30", "-X", "POST", "-H", cookie, url .. "logout" })
        assert.is_truthy(answer:find("^HTTP/1.1 503 "), answer)
        server:restart()
    end)

    local RESPONSES = {
        { "response.lua", "redis = redis", PATIENT },
        { "nginx.conf", "location / { content_by_lua_block {",
            "location / { root .; if (-f $document_root/down) { return 500; }\n"
            .. "content_by_lua_block {" },
    }

    -- Returns an answer: "STATUS TIER BODY".
    local function answer_of(url, ...)
        local answer = get("-i", url, ...)
        local status = answer:match("^HTTP/1.1 (%d+)")
        return status .. " " .. (answer:match("\nX%-Cache: (%w+)") or "-") .. " "
            .. answer:match("\r\n\r\n(.*)$")
    end

    it("have a cache of answers that asks the API whether they have changed", function()
        local site, api, folder = start("response-cache", RESPONSES)
        server:call("FLUSHALL")
        assert.are.equal("200 loader news, version 1\n", answer_of(site .. "news"))
        assert.are.equal("304", example.status("-H", 'If-None-Match: "1"', site .. "news"))
        run.wait_until("the answer is past its time, and still given", function()
            return answer_of(site .. "news") == "200 stale news, version 1\n"
        end)
        run.wait_until("the API has said that it has not changed", function()
            get(site .. "news")
            return get(api .. "asked"):match("^1 made, [1-9]")
        end)
        assert.are.equal("2\n", get("-X", "POST", api .. "news"))
        run.wait_until("there is the new one", function()
            return answer_of(site .. "news"):find("version 2", 1, true)
        end)

        run.write_file(folder .. "/down", "")
        run.wait_until("the answer is past its time, with the API down", function()
            return answer_of(site .. "news") == "200 stale news, version 2\n"
        end)
        assert.are.equal("502", answer_of(site .. "news?other"):match("%d+"))
    end)

    it("have a cache of answers that keeps those that are everybody's, and absences", function()
        local site, api = start("response-cache", RESPONSES)
        server:call("FLUSHALL")
        assert.are.equal("200 loader yours, 1\n", answer_of(site .. "mine"))
        assert.are.equal("200 loader yours, 2\n", answer_of(site .. "mine"))
        assert.are.equal("200 - yours, 3\n", answer_of(site .. "mine", "-H", "Cookie: a=b"))
        assert.are.same({}, server:call("KEYS", "answers:[^#]*"))
        for _ = 1, 5 do
            assert.are.equal("404", example.status(site .. "nothing"))
        end
        -- The other is "/", by which nginx was awaited.
        assert.are.equal("0 made, 0 unchanged, 2 absent\n", get(api .. "asked"))
        assert.are.equal("2\n", get("-X", "POST", site .. "news"))
    end)

    -- Compiled as it says, but for where header and library are.
    it("have a C program that sets and gets", function()
        local folder = run.temp_dir()
        local said, status = run.run({ run.need("cc"), "-Wall", "-Wextra", "-Werror",
            "-I" .. run.root .. "/c/include", run.root .. "/examples/c-program/keep.c",
            run.root .. "/build/libtandem.so", "-Wl,-rpath," .. run.root .. "/build",
            "-o", folder .. "/keep" })
        assert.are.equal(0, status, said)
        local function keep(file, arguments)
            return run.run({ "sh", "-c", ("CACHE_FILE=%s/%s REDIS_URL=%s %s/keep %s 2>&1"):format(
                folder, file, server:url(0), folder, arguments) })
        end
        server:call("FLUSHALL")
        said, status = keep("one", "colour")
        assert.are.same({ "keep: no such key\n", 1 }, { said, status })
        said, status = keep("one", "colour blue")
        assert.are.same({ "", 0 }, { said, status })
        assert.are.equal("blue", server:call("GET", "keep:colour"))
        said, status = keep("another", "colour")
        assert.are.same({ "blue (Redis)\n", 0 }, { said, status })
        said, status = keep("one", "")
        assert.are.same({ "usage: keep KEY [VALUE]\n", 1 }, { said, status })
    end)
end)
