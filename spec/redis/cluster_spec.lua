--- A Redis Cluster: where keys are, and what becomes of them when slots and nodes come and go.

local caches = require "spec.support.caches"
local clusters = require "spec.support.clusters"
local remote = require "spec.support.remote"
local run = require "spec.support.run"
local show = require "spec.support.show"

local function says(expected, err)
    assert.is_truthy(tostring(err):find(expected, 1, true), tostring(err))
end

describe("a Redis Cluster", function()
    local cluster

    setup(function() cluster = clusters.start() end)
    teardown(function()
        cluster:stop()
        run.cleanup()
    end)

    -- With its links.
    local function open(options)
        options = options or {}
        options.redis = options.redis or { url = cluster:url(), client_name = "spec" }
        options.max_stale = options.max_stale or 2
        options.timeout = options.timeout or 2
        options.connect_timeout = 2
        return caches.on(nil, options)
    end

    it("has each key at the master of its slot", function()
        local cache = open()
        local name = cache.name
        for i = 1, 100 do
            assert.is_true(cache:set("key" .. i, "value" .. i))
        end
        local used = {}
        for i = 1, 100 do
            local key = name .. ":key" .. i
            used[cluster:master_of(key)] = true
            assert.are.equal("value" .. i, cluster:call("GET", key))
            assert.are.equal("value" .. i, (cache:get("key" .. i)))
        end
        for _, node in ipairs(cluster.nodes) do
            assert.is_true(used[node])
        end
        cache:close()
    end)

    it("tells of what others change, wherever it is", function()
        local cache = open()
        local name = cache.name
        for i = 1, 20 do
            assert.is_true(cache:set("key" .. i, "ours"))
        end
        run.wait_until("they are in memory for good", function()
            return cache:stats().tracking.verifies >= 20
        end)
        for i = 1, 20 do
            local _, _, tier = cache:get("key" .. i)
            assert.are.equal("memory", tier)
            cluster:call("SET", name .. ":key" .. i, "theirs")
        end
        for i = 1, 20 do
            run.wait_until("the change is seen", function()
                return cache:get("key" .. i) == "theirs"
            end)
        end
        run.wait_until("what was read is kept", function()
            return select(3, cache:get("key1")) == "memory"
        end)
        cache:close()
    end)

    it("takes calls with many keys apart", function()
        local cache = open()
        local values, keys = {}, {}
        for i = 1, 200 do
            keys[i] = "key" .. i
            values[keys[i]] = "value" .. i
        end
        assert.is_true(cache:set_multi(values))
        local another = open { tracking = false }
        assert.are.same({}, (another:get_multi(keys)))
        another:close()
        local reader = caches.open({ redis = cluster:url(), prefix = cache.name .. ":",
                                     timeout = 2, connect_timeout = 2 })
        assert.are.same(values, (reader:get_multi(keys)))
        assert.are.equal(200, cache:delete_multi(keys))
        for i = 1, 200 do
            assert.is_nil((cache:get(keys[i])))
        end
        reader:close()
        cache:close()
    end)

    it("is walked through, master by master", function()
        local cache = open()
        local other = open()
        local expected = {}
        for i = 1, 1500 do
            expected[i] = ("key%04d"):format(i)
            assert.is_true(cache:set(expected[i], "value", nil))
        end
        other:set("key", "value")
        local keys = assert(cache:keys())
        table.sort(keys)
        assert.are.same(expected, keys)
        assert.are.equal(100, cache:delete_by_pattern("key05*"))
        assert.are.equal(1400, #assert(cache:keys()))
        local seen = 0
        for _ in cache:scan("key1*") do
            seen = seen + 1
        end
        assert.are.equal(501, seen)
        assert.is_true(cache:clear())
        assert.are.same({}, cache:keys())
        for _, node in ipairs(cluster:masters()) do
            assert.are.same({}, node:call("KEYS", cache.name .. ":*"))
        end
        assert.are.same({ "key" }, other:keys())
        other:close()
        cache:close()
    end)

    it("does all that one server does", function()
        local cache = open()
        assert.are.equal(1, cache:incr("n", 1, 0))
        assert.are.equal(3.5, cache:incr("n", 2.5))
        assert.is_true(cache:add("a", "1"))
        assert.are.equal("false 'exists'", show(cache:add("a", "2")))
        assert.is_true(cache:replace("a", "3"))
        assert.is_true(cache:expire("a", 100))
        assert.is_true(cache:ttl("a") > 99)
        assert.is_true(cache:touch("a"))
        assert.are.equal("true", show(cache:exists("a")))
        assert.are.equal("true", show(cache:delete("a")))
        assert.are.equal("false", show(cache:delete("a")))
        assert.are.equal("'made' nil 'loader'", show(cache:fetch("f", function()
            return "made"
        end)))
        cache:close()
    end)

    describe("whose nodes tell addresses that are theirs alone", function()
        local KEYS = 100
        local TOLD = { ip = "^127%.", hostname = "^node%d%.invalid$",
                       ["unknown-endpoint"] = "^nil$" }

        -- Whoever asks is told these names, which nobody can look up.
        local function announce(endpoint)
            for i, node in ipairs(cluster.nodes) do
                node:call("CONFIG", "SET", "cluster-announce-hostname", "node" .. i .. ".invalid",
                          "cluster-preferred-endpoint-type", endpoint)
            end
            cluster:await_ranges(function(range)
                return tostring(range[3][1]):find(TOLD[endpoint])
            end)
        end

        after_each(function() announce("ip") end)

        local function map()
            local addresses = {}
            for i, node in ipairs(cluster.nodes) do
                addresses[("node%d.invalid:%d"):format(i, node.port)] = "127.0.0.1:" .. node.port
            end
            return addresses
        end

        it("is reached by a map of them, slots on the move included", function()
            announce("hostname")
            local lost = open { redis = cluster:url() }
            assert.is_truthy((select(2, lost:get("key"))))
            lost:close()
            local cache = open { redis = { url = cluster:url(), address_map = map() } }
            local behind = open { redis = { url = cluster:url(), address_map = map() },
                                  prefix = cache.name .. ":", near = false }
            for i = 1, KEYS do
                assert.are.equal("true", show(cache:set("key" .. i, "value" .. i)))
            end
            run.wait_until("the links cover", function()
                return cache:stats().tracking.state == "on"
            end)
            local key = cache.name .. ":key1"
            local slot, from = cluster:slot_of(key), cluster:master_of(key)
            local to = from == cluster.nodes[1] and cluster.nodes[2] or cluster.nodes[1]
            clusters.open(slot, from, to)
            cluster:migrate(slot, from, to)
            assert.are.equal("value1", (behind:get("key1")))
            cluster:assign(slot, to)
            cluster:call("SET", key, "theirs")
            run.wait_until("the change is seen", function()
                return cache:get("key1") == "theirs"
            end)
            cluster:await()
            cluster:move(slot, to, from)
            cluster:await()
            behind:close()
            cache:close()
        end)

        it("is reached where the host is left out", function()
            announce("unknown-endpoint")
            local cache = open { redis = { url = cluster:url() } }
            for i = 1, KEYS do
                assert.are.equal("true", show(cache:set("key" .. i, "value")))
            end
            cache:close()
        end)
    end)

    it("needs a hash tag where a script looks at several keys", function()
        for option, value in pairs({ tags = true, lock = "redis" }) do
            local ok, err = pcall(caches.open, { redis = cluster:url(), [option] = value })
            assert.is_false(ok)
            says("opts." .. option .. ": in a cluster it needs a prefix with a hash tag", err)
        end
        local cache = open { tags = true, lock = "redis", prefix = "{tagged}:" }
        assert.are.equal("'v' nil 'loader'", show(cache:fetch("k", { tags = { "t" } }, function()
            return "v"
        end)))
        assert.is_true(cache:set("other", "w", nil, { tags = { "u" } }))
        assert.is_true(cache:invalidate_tag("t"))
        assert.is_nil((cache:get("k")))
        assert.are.equal("w", (cache:get("other")))
        assert.are.equal(1, cache:delete_by_pattern("oth*"))
        assert.are.same({}, cache:keys())
        assert.is_true(cache:clear())
        assert.are.same({}, cluster:master_of("{tagged}"):call("KEYS", "{tagged}*"))
        cache:close()
    end)

    it("is told all that was queued when the process exits", function()
        run.lua(([[
            local cache = assert(require("resty.tandem").new("exits", { memory = "2m",
                redis = %q, write = "behind", timeout = 5, connect_timeout = 5 }))
            for i = 1, 300 do
                assert(cache:set("key" .. i, "value"))
            end
            os.exit(0)
        ]]):format(cluster:url()))
        local n = 0
        for _, node in ipairs(cluster:masters()) do
            n = n + #node:call("KEYS", "exits:key*")
        end
        assert.are.equal(300, n)
    end)

    describe("used by several processes of a host", function()
        local processes

        before_each(function()
            processes = {}
            local path = run.temp_dir() .. "/segment"
            for i = 1, 3 do
                processes[i] = remote.start()
                processes[i]:eval(([[
                    cache = assert(require("resty.tandem").new("several", { memory = "2m",
                        path = %q, redis = %q, timeout = 2, connect_timeout = 2 }))
                    cache:get("absent")
                ]]):format(path, cluster:url()))
            end
            run.wait_until("two have links, all of them", function()
                return processes[1]:call("return cache:stats().tracking.covering") == 2
            end)
        end)

        local function get(i, key)
            return processes[i]:call(("return { cache:get(%q) }"):format(key))
        end

        it("is fresh for all of them, by the links of two", function()
            -- Those that begin at the same moment may have had one.
            local gaps = processes[1]:call("return cache:stats().tracking.gaps")
            for k = 1, 20 do
                local key = "key" .. k
                processes[1 + k % 3]:eval(("assert(cache:set(%q, 'ours'))"):format(key))
                run.wait_until("it is in memory for good", function()
                    return get(1, key)[3] == "memory" and get(2, key)[3] == "memory"
                        and get(3, key)[3] == "memory"
                end)
                cluster:call("SET", "several:" .. key, "theirs")
                for i = 1, 3 do
                    run.wait_until("each sees the change", function()
                        return get(i, key)[1] == "theirs"
                    end)
                end
            end
            assert.are.equal(gaps, processes[1]:call("return cache:stats().tracking.gaps"))
        end)

        it("is used by a child of one, with connections of its own", function()
            local answer = processes[3]:call([[
                cache:set("before", "1")
                local path = os.tmpname()
                local fork, exit = require("posix.unistd").fork, require("posix.unistd")._exit
                local child = fork()
                if child == 0 then
                    local ok = true
                    for i = 1, 50 do
                        ok = ok and cache:set("child" .. i, "value") == true
                            and cache:incr("n" .. i, 1, 0) == 1
                    end
                    local file = io.open(path, "w")
                    file:write(tostring(ok), " ", tostring((cache:get("before"))))
                    file:close()
                    exit(0)
                end
                require("posix.sys.wait").wait(child)
                local said = io.open(path):read("*a")
                os.remove(path)
                return { said, (cache:get("child1")), cache:set("after", "2") }
            ]])
            assert.are.same({ "true 1", "value", true }, answer)
        end)
    end)

    describe("whose slots move", function()
        local cache, name, slot, from, to

        before_each(function()
            cache = open { prefix = "{moving}:" }
            name = "{moving}:"
            slot = cluster:slot_of("{moving}")
            from = cluster:master_of(slot)
            to = from == cluster.nodes[1] and cluster.nodes[2] or cluster.nodes[1]
        end)
        after_each(function() cache:close() end)

        local function stable()
            run.wait_until("the link covers", function()
                return cache:stats().tracking.state == "on"
            end)
        end

        it("finds keys on their way", function()
            for i = 1, 20 do
                assert.is_true(cache:set("key" .. i, "value", 1000))
            end
            clusters.open(slot, from, to)
            -- Half of them have gone.
            for i = 1, 20, 2 do
                from:call("MIGRATE", "127.0.0.1", to.port, name .. "key" .. i, 0, 5000)
            end
            local reader = caches.open { redis = cluster:url(), prefix = name, near = false,
                                         timeout = 2, connect_timeout = 2 }
            for i = 1, 20 do
                assert.are.equal("'value' nil 'redis'", show(reader:get("key" .. i)))
                assert.is_true(cache:expire("key" .. i, 0))
                assert.are.equal(0, cache:ttl("key" .. i))
                assert.is_true(cache:set("key" .. i, "again"))
                assert.are.equal(i, cache:incr("n", 1, 0))
            end
            assert.are.equal("again", (cache:get("key1")))
            assert.is_nil((cache:get("absent")))
            assert.is_true(cache:delete("key2"))
            assert.is_false(cache:delete("key2"))
            cluster:migrate(slot, from, to)
            cluster:assign(slot, to)
            for i = 3, 20 do
                assert.are.equal("again", (cache:get("key" .. i)))
            end
            assert.are.equal(0, cache:stats().redis.errors)
            cluster:await()
            stable()
            reader:close()
        end)

        it("keeps the order of what is asked of a key", function()
            -- Many at a time are on their way, to wherever it is.
            local behind = caches.open { redis = cluster:url(), prefix = name, write = "behind",
                                         timeout = 2, connect_timeout = 2 }
            assert.is_nil((behind:get("connected")))
            local function load(round, part)
                for i = 1, 200 do
                    for key = 1, 5 do
                        local value = ("%d.%d.%d"):format(round, part, i)
                        assert.is_true(behind:set("order" .. key, value))
                    end
                end
            end
            for round = 1, 4 do
                load(round, 1)
                clusters.open(slot, from, to)
                load(round, 2)
                cluster:migrate(slot, from, to)
                load(round, 3)
                cluster:assign(slot, to)
                load(round, 4)
                for key = 1, 5 do
                    local expected = round .. ".4.200"
                    assert.are.equal(expected, (behind:get("order" .. key)))
                    assert.are.equal(expected, to:call("GET", name .. "order" .. key))
                end
                cluster:await()
                from, to = to, from
            end
            assert.are.equal(0, behind:stats().redis.errors)
            behind:close()
        end)

        it("has nothing fresh of before", function()
            assert.is_true(cache:set("key", "value"))
            run.wait_until("it is in memory for good", function()
                return cache:stats().tracking.verifies > 0
            end)
            cluster:move(slot, from, to)
            to:call("SET", name .. "key", "theirs")
            run.wait_until("the change is seen", function()
                return cache:get("key") == "theirs"
            end)
            to:call("SET", name .. "key", "theirs again")
            run.wait_until("the next one too", function()
                return cache:get("key") == "theirs again"
            end)
            cluster:await()
        end)
    end)

    describe("that grows and shrinks", function()
        it("uses a new node, and leaves one that has gone", function()
            local cache = open()
            local name = cache.name
            local slot = cluster:slot_of(name .. ":key")
            assert.is_true(cache:set("key", "value"))
            local old, new = cluster:master_of(slot), cluster:add()
            cluster:move(slot, old, new)
            assert.are.equal("value", (cache:get("key")))
            assert.is_true(cache:set("key", "ours"))
            assert.are.equal("ours", new:call("GET", name .. ":key"))
            run.wait_until("it has a link, too", function()
                cache:get("key")
                return new:call("CLIENT", "LIST"):find("redir=", 1, true)
                    and cache:stats().tracking.state == "on"
            end)
            new:call("SET", name .. ":key", "theirs")
            run.wait_until("its changes are seen", function()
                return cache:get("key") == "theirs"
            end)
            cluster:await()
            cluster:move(slot, new, old)
            cluster:await()
            new:kill()
            table.remove(cluster.nodes)
            for _, node in ipairs(cluster.nodes) do
                node:call("CLUSTER", "FORGET", new.id)
            end
            run.wait_until("it is asked no more", function()
                return cache:get("key") == "theirs"
            end)
            run.wait_until("the link covers without it", function()
                cache:get("key")
                return cache:stats().tracking.state == "on"
                    and select(3, cache:get("key")) == "memory"
            end)
            cache:close()
        end)
    end)
end)
