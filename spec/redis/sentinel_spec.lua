--- A Redis that sentinels watch: where the master is, and what becomes of it.

local caches = require "spec.support.caches"
local peer = require "spec.support.peer"
local redis = require "spec.support.redis"
local remote = require "spec.support.remote"
local run = require "spec.support.run"
local sentinels = require "spec.support.sentinels"
local show = require "spec.support.show"
local tandem = require "resty.tandem"

-- One is with the new master so long after the sentinels name it, at the latest.
local REACHED = 1

-- What a cache may say when it has no master for the moment.
local function answers(cache)
    local _, err = cache:get("anything")
    return not err
end

local function says(expected, err)
    assert.is_truthy(tostring(err):find(expected, 1, true), tostring(err))
end

-- Once more with replicas that are read from: who has to be named then is asked more often.
for _, preferred in ipairs { false, true } do
describe("a Redis that sentinels watch" .. (preferred and ", replicas preferred," or ""), function()
    local watched

    before_each(function() watched = sentinels.start() end)
    after_each(function() watched:stop() end)
    teardown(run.cleanup)

    -- With its link, and its connections named.
    local function open(options)
        options = options or {}
        options.redis = options.redis or { url = watched:url(), client_name = "spec" }
        options.redis.replicas = preferred and "prefer" or nil
        options.max_stale = options.max_stale or 2
        options.timeout = options.timeout or 2
        return caches.on(nil, options)
    end

    -- The one whose connection a cache has.
    local function watching()
        return run.wait_until("a sentinel is watched", function()
            for _, sentinel in ipairs(watched.sentinels) do
                if sentinel.process:alive() and sentinel:watchers("spec") > 0 then
                    return sentinel
                end
            end
        end)
    end

    local function clients_of(server)
        local _, n = server:call("CLIENT", "LIST"):gsub(" name=spec ", "")
        return n
    end

    -- Within how many seconds from now on the new master is used, the link too.
    local function follow(cache)
        local began = run.now()
        run.wait_until("the new master is used", function()
            cache:get("anything")
            local n = clients_of(watched.master)
            return (n == 2 or preferred and n == 3) and cache:stats().redis.state == "up"
        end)
        return run.now() - began
    end

    it("is the master that they name", function()
        local cache = open { redis = { url = watched:url({ db = 3 }), client_name = "spec" } }
        assert.is_true(cache:set("key", "value"))
        local client = watched.master:connect()
        client:call("SELECT", 3)
        assert.are.equal("value", client:call("GET", cache.name .. ":key"))
        client:call("SET", cache.name .. ":key", "theirs")
        client:close()
        run.wait_until("the change is seen", function() return cache:get("key") == "theirs" end)
        assert.is_true(clients_of(watched.replicas[1]) <= (preferred and 1 or 0))
        -- Two connections to the master, and one to one sentinel.
        assert.are.equal(2, clients_of(watched.master))
        local n = 0
        for _, sentinel in ipairs(watched.sentinels) do
            n = n + sentinel:watchers("spec")
        end
        assert.are.equal(1, n)
        local name = cache.name
        for _, other in ipairs({ watched:url({ db = 1 }), watched:url({ db = 3, name = "other" }),
                                 watched.master:url(3) }) do
            local ok, err = pcall(tandem.new, name, { memory = "2m", redis = other })
            assert.is_false(ok)
            says("redis", err)
        end
        cache:close()
    end)

    it("may be replaced: nothing of the old master is fresh, and the new one is used", function()
        local cache = open()
        local name = cache.name
        assert.is_true(cache:set("key", "of the old one"))
        run.wait_until("it is in memory for good", function()
            return cache:stats().tracking.verifies > 0 and select(3, cache:get("key")) == "memory"
        end)
        watched:fail_over()
        assert.is_true(follow(cache) < REACHED)
        assert.are.equal("'of the old one' nil 'redis'", show(cache:get("key")))
        run.wait_until("the link covers, after a gap", function()
            local tracking = cache:stats().tracking
            return tracking.state == "on" and tracking.gaps == 1
        end)
        assert.is_true(cache:set("key", "of the new one"))
        assert.are.equal("of the new one", watched.master:call("GET", name .. ":key"))
        watched.master:call("SET", name .. ":key", "theirs")
        run.wait_until("the change is seen", function() return cache:get("key") == "theirs" end)
        cache:close()
    end)

    it("may be killed: what was written meanwhile is told to the new master", function()
        local cache = open { timeout = 0.25 }
        local name = cache.name
        -- The sentinel that it watches is stopped at the same moment.
        local sentinel = watching()
        sentinel.process:freeze()
        watched.master:kill()
        run.wait_until("it is noticed", function() return not answers(cache) end)
        local ok, err = cache:set("meanwhile", "value")
        assert.is_true(ok)
        says("queued: redis+sentinel 127.0.0.1:", err)
        assert.are.equal("'value' nil 'memory'", show(cache:get("meanwhile")))
        watched:await(sentinel)
        assert.is_true(follow(cache) < REACHED)
        run.wait_until("it has what was written meanwhile", function()
            return watched.master:call("GET", name .. ":meanwhile") == "value"
        end)
        sentinel.process:thaw()
        cache:close()
    end)

    it("may come back and be none any more: it is not taken for one", function()
        local cache = open()
        local name = cache.name
        watched.master:kill()
        watched:fail_over()
        follow(cache)
        assert.is_true(cache:set("key", "of the new one"))
        -- In its own eyes it is a master, until the sentinels have told it otherwise.
        watched.old:restart()
        assert.are.equal("master", watched.old:call("ROLE")[1])
        watched.old:call("SET", name .. ":key", "of the stale one")
        for _ = 1, 10 do
            local other = open()
            assert.is_true(other:set("key", "value"))
            assert.are.equal("of the new one", (cache:get("key")))
            -- As a replica it may be looked at, and is found to be none.
            assert.is_true(clients_of(watched.old) <= (preferred and 2 or 0))
            other:close()
        end
        cache:close()
    end)

    it("is not a replica, whatever they say", function()
        -- They are told to watch the replica as if it were a master.
        for _, sentinel in ipairs(watched.sentinels) do
            sentinel:call("SENTINEL", "MONITOR", "misled", "127.0.0.1",
                          watched.replicas[1].port, "2")
        end
        local cache = caches.open { redis = watched:url({ name = "misled" }), max_stale = 2 }
        local _, err = cache:get("key")
        says("master 127.0.0.1:" .. watched.replicas[1].port
             .. ": the sentinels name it as the master, and it is a replica", err)
        run.wait_until("the link says the same", function()
            local trouble = cache:stats().tracking.trouble
            return trouble and trouble:find("it is a replica", 1, true)
        end)
        cache:close()
    end)

    it("that becomes a replica is left, though they have not said so", function()
        local cache = open()
        assert.is_true(cache:set("key", "value"))
        watched.master:call("REPLICAOF", "127.0.0.1", watched.replicas[1].port)
        local ok, err = cache:set("key", "other")
        assert.is_true(ok)
        says("queued: ", err)
        run.wait_until("it is asked whether it is one", function()
            local _, why = cache:get("absent")
            return why and why:find("it is a replica", 1, true)
        end)
        watched.master:call("REPLICAOF", "NO", "ONE")
        run.wait_until("it is used again", function()
            return cache:set("key", "third") and not select(2, cache:set("key", "third"))
        end)
        cache:close()
    end)

    it("is there with one sentinel away, and the next one is watched", function()
        local cache = open()
        watching():kill()
        watching()
        -- Whichever it is that a new one asks first.
        for _ = 1, 6 do
            local another = open()
            assert.is_true(another:set("key", "value"))
            another:close()
        end
        watched:fail_over()
        assert.is_true(follow(cache) < REACHED)
        cache:close()
    end)

    it("is there with all sentinels away, for those that know it", function()
        local cache = open()
        watching()
        for _, sentinel in ipairs(watched.sentinels) do
            sentinel:kill()
        end
        local began = run.now()
        local other = caches.open { redis = watched:url(), on_redis_error = "fail" }
        local _, err = other:get("key")
        says("/mymaster/0: sentinel 127.0.0.1:", err)
        says("connection refused", err)
        assert.is_true(run.now() - began < 1)
        assert.is_true(cache:set("key", "value"))
        watched.master:call("SET", cache.name .. ":key", "theirs")
        run.wait_until("the change is seen", function() return cache:get("key") == "theirs" end)
        assert.are.equal("on", cache:stats().tracking.state)
        watched.sentinels[2]:restart()
        run.wait_until("it is found", function() return answers(other) end)
        other:close()
        cache:close()
    end)

    it("goes by its name: one that they do not know is an error that says so", function()
        local began = run.now()
        local cache = caches.open { redis = watched:url({ name = "nobody" }) }
        local _, err = cache:get("key")
        says("it knows no master named nobody", err)
        assert.is_true(run.now() - began < 1)
        cache:close()
        cache = caches.open { redis = ("redis+sentinel://127.0.0.1:%d/mymaster")
            :format(watched.master.port) }
        says("is this a sentinel?", select(2, cache:get("key")))
        cache:close()
    end)

    it("is asked for anew by the child of a fork", function()
        assert.are.equal("true parent\ntrue child\n", (run.lua(([[
            local unistd, wait = require "posix.unistd", require "posix.sys.wait"
            local cache = require("resty.tandem").new("forks", { memory = "2m", redis = %q,
                timeout = 5, connect_timeout = 5 })
            assert(cache:set("key", "parent"))
            local pid = unistd.fork()
            if pid == 0 then
                io.write(tostring(cache:set("child", "child")), " ", (cache:get("key")), "\n")
                io.flush()
                unistd._exit(0)
            end
            wait.wait(pid)
            io.write(tostring(cache:set("key", "parent")), " ", (cache:get("child")), "\n")
        ]]):format(watched:url()))))
    end)

    it("has all processes of a host follow", function()
        local path = run.temp_dir() .. "/segment"
        local code = ([[
            cache = assert(require("resty.tandem").new("shared", { memory = "2m", path = %q,
                redis = %q, timeout = 2 }))
        ]]):format(path, watched:url())
        local first, second = remote.start(), remote.start()
        first:eval(code)
        second:eval(code)
        local function both_cover()
            run.wait_until("both have a link", function()
                first:eval("cache:get('absent')")
                second:eval("cache:get('absent')")
                return first:call("return cache:stats().tracking.covering") == 2
            end)
        end
        local function both_have(value)
            run.wait_until("the change is seen", function()
                return first:call("return cache:get('key')") == value
                    and second:call("return cache:get('key')") == value
            end)
        end
        both_cover()
        assert.is_true(first:call("return cache:set('key', 'value')"))
        both_have("value")
        watched:fail_over()
        watched.master:call("SET", "shared:key", "of the new one")
        both_have("of the new one")
        both_cover()
        watched.master:call("SET", "shared:key", "changed")
        both_have("changed")
        first:stop()
        second:stop()
    end)
end)

-- Plays a sentinel that tells each of its connections what the file of its number says,
-- "PORT EPOCH", with a message when that has changed.
local PLAYED = [[
    local function told()
        local file = assert(io.open(%q .. number))
        local port, epoch = file:read("*a"):match("^(%%d+) (%%d+)$")
        file:close()
        return port, epoch
    end

    local function array(...)
        local parts = { "*" .. select("#", ...) .. "\r\n" }
        for _, word in ipairs({ ... }) do
            parts[#parts + 1] = "$" .. #word .. "\r\n" .. word .. "\r\n"
        end
        return table.concat(parts)
    end

    local last = told()
    for words in c.command, c do
        local port, epoch = told()
        if words[2] == "GET-MASTER-ADDR-BY-NAME" then
            c:write(array("127.0.0.1", port))
        elseif words[2] == "MASTER" then
            c:write(array("name", "m", "config-epoch", epoch))
        else
            c:write("*3\r\n$9\r\nsubscribe\r\n$1\r\nx\r\n:1\r\n")
            if port ~= last then
                c:write(array("message", "+switch-master", "m h 1 h 2"))
                last = port
            end
        end
    end
]]

describe("two processes, of which one hears late that there is another master,", function()
    teardown(run.cleanup)

    it("go by the new one from when the first of them has heard of it", function()
        local one, two = redis.start(), redis.start()
        local folder = run.temp_dir() .. "/"
        local path = folder .. "segment"
        local function tell(number, server, epoch)
            run.write_file(folder .. "new", server.port .. " " .. epoch)
            assert(os.rename(folder .. "new", folder .. number))
        end
        tell(1, one, 1)
        tell(2, one, 1)
        local sentinel = peer.start(PLAYED:format(folder))
        local first, second = remote.start(), remote.start()
        local function covering()
            return first:call("return cache:stats().tracking.covering")
        end
        for _, process in ipairs({ first, second }) do
            process:eval(([[
                cache = assert(require("resty.tandem").new("late", { memory = "2m", path = %q,
                    redis = "redis+sentinel://127.0.0.1:%d/m", timeout = 5, connect_timeout = 5 }))
                cache:get("absent")
            ]]):format(path, sentinel.port))
            run.wait_until("the link is up", function()
                return process:call("return cache:stats().tracking.state") == "on"
            end)
        end
        run.wait_until("both have a link", function() return covering() == 2 end)
        local GET = "return { cache:get('key') }"
        one:call("SET", "late:key", "of one")
        two:call("SET", "late:key", "of two")
        run.wait_until("it is in memory", function()
            return second:call(GET)[1] == "of one" and first:call(GET)[3] == "memory"
        end)

        tell(1, two, 2)
        run.wait_until("the first has heard of it", function()
            return first:call(GET)[1] == "of two"
        end)
        run.wait_until("its link has taken the place of the second's, after a gap", function()
            return covering() == 1 and first:call("return cache:stats().tracking.gaps") == 1
        end)
        run.wait_until("what it reads is in memory", function()
            return first:call(GET)[3] == "memory"
        end)
        assert.are.same({ "of two", nil, "memory" }, second:call(GET))
        -- What the old one says is not kept, nor what it acknowledges.
        one:call("SET", "late:other", "of one")
        for _ = 1, 3 do
            assert.are.same({ "of one", nil, "redis" },
                            second:call("return { cache:get('other') }"))
        end
        assert.is_true(second:call("return cache:set('key', 'written to one')"))
        assert.are.same({ "of two", nil, "redis" }, first:call(GET))
        one:call("SET", "late:key", "again") -- a message of the old one costs a read
        run.nap(1200) -- a heartbeat of both links
        assert.are.equal(1, covering())
        assert.are.equal("of two", first:call(GET)[1])

        tell(2, two, 2)
        run.wait_until("the second has heard of it", function() return covering() == 2 end)
        assert.are.equal("of two", second:call(GET)[1])
        assert.are.equal(1, first:call("return cache:stats().tracking.gaps"))
        first:stop()
        second:stop()
        sentinel:stop()
        one:stop()
        two:stop()
    end)
end)

describe("sentinels and a Redis with passwords", function()
    local SECRET = "s3cret"
    local watched

    setup(function()
        watched = sentinels.start { password = SECRET, sentinel_password = SECRET }
    end)
    teardown(run.cleanup)

    it("are given the URL's", function()
        local cache = caches.open { redis = watched:url({ user = ":" .. SECRET .. "@" }),
                                    max_stale = 2 }
        assert.is_true(cache:set("key", "value"))
        assert.are.equal("value", watched.master:call("GET", cache.name .. ":key"))
        cache:close()
    end)

    it("say so when it is wrong or missing, and no secrets", function()
        local cases = { [":wr0ngpass@"] = "WRONGPASS", ["b0b:wr0ngpass@"] = "WRONGPASS",
                        [""] = "NOAUTH" }
        for user, expected in pairs(cases) do
            local cache = caches.open { redis = watched:url({ user = user }) }
            local _, err = cache:get("key")
            says(expected, err)
            says("sentinel 127.0.0.1:", err)
            assert.is_nil(err:find("wr0ngpass", 1, true) or err:find("b0b", 1, true), err)
            cache:close()
        end
    end)

    it("of which only the servers want one", function()
        for _, sentinel in ipairs(watched.sentinels) do
            sentinel:call("ACL", "SETUSER", "default", "nopass")
            sentinel.password = nil
        end
        local cache = caches.open { redis = watched:url({ user = ":wr0ngpass@" }) }
        local _, err = cache:get("key")
        says("master 127.0.0.1:" .. watched.master.port .. ": WRONGPASS", err)
        assert.is_nil(err:find("wr0ngpass", 1, true), err)
        cache:close()
        -- Who may not ask what it is does not know that it is one.
        watched.master:call("ACL", "SETUSER", "least", "on", ">" .. SECRET, "~*", "&*", "+@all",
                            "-role")
        cache = caches.open { redis = watched:url({ user = "least:" .. SECRET .. "@" }) }
        local _, refused = cache:get("key")
        says("NOPERM ", refused)
        says(" has no permissions to run the 'role' command", refused)
        cache:close()
        -- Who may not ask who it is goes by its address.
        watched.master:call("ACL", "SETUSER", "least", "+role", "-info")
        cache = caches.open { redis = watched:url({ user = "least:" .. SECRET .. "@" }),
                              max_stale = 2 }
        run.wait_until("it is in memory", function()
            return cache:set("key", "value") and select(3, cache:get("key")) == "memory"
        end)
        cache:close()
        cache = caches.open { redis = { url = watched:url(), password = SECRET }, max_stale = 2 }
        assert.is_true(cache:set("key", "value"))
        cache:close()
    end)
end)

describe("an address of sentinels", function()
    it("that is malformed raises, and says no secrets", function()
        for url, expected in pairs({
            ["redis+sentinel://h1,h2"] = "the sentinels are followed by the name of the master",
            ["redis+sentinel://:s3cret@h1,h2/"] = "followed by the name of the master",
            ["redis+sentinel://:s3cret@h1,/m"] = "there is no host",
            ["redis+sentinel:///m"] = "there is no host",
            ["redis+sentinel://h1:0,h2/m"] = "the port is not a whole number",
            ["redis+sentinel://h1/m/s3cret"] = "the database is not a whole number",
            ["redis+sentinel://h1/m?s3cret"] = "nothing may follow a ?",
            ["redis+sentinel://h1/s3cret%20m"] = "the master's name holds a space",
            ["redis+sentinel://h/" .. ("m"):rep(128)] = "the master's name is longer",
            ["redis+sentinel://" .. ("h,"):rep(16) .. "h/m"] = "more than 16 hosts",
            ["rediss+sentinel://:s3cret@h/m"] = "available in this version",
            ["redis+cluster://:s3cret@h/1"] = "a cluster has no databases",
            ["rediss+cluster://:s3cret@h/1"] = "a cluster has no databases",
            ["redis+other://:s3cret@h"] = "it must begin with redis://",
        }) do
            local ok, err = pcall(tandem.new, "malformed", { redis = url, memory = "1m" })
            assert.is_false(ok, url)
            says(expected, err)
            says("opts.redis: ", err)
            assert.is_nil(err:find("s3cret", 1, true), err)
        end
    end)

    it("has no use for options of TLS", function()
        local ok, err = pcall(tandem.new, "tls", { memory = "1m",
            redis = { url = "redis+sentinel://h/m", tls = {} } })
        assert.is_false(ok)
        says("does not begin with rediss://", err)
    end)
end)
end
