-- Tags over two tiers and several hosts: with real Redis, real processes, and kills.

local caches = require "spec.support.caches"
local crowd = require "spec.support.crowd"
local ledger = require "spec.support.ledger"
local redis = require "spec.support.redis"
local remote = require "spec.support.remote"
local run = require "spec.support.run"

local SECONDS = tonumber(os.getenv("TANDEM_SOAK_SECONDS")) or 4

describe("tags", function()
    local server

    setup(function() server = redis.start() end)
    teardown(run.cleanup)
    before_each(function() server:call("FLUSHALL") end)

    -- Hosts: caches in processes of their own, each with a segment.
    local function start_hosts(n, options)
        local hosts = {}
        for i = 1, n do
            hosts[i] = remote.start()
            hosts[i]:eval(([[
                cache = assert(require("resty.tandem").new("tags", { memory = "64m", redis = %q,
                    prefix = "t:", tags = true, timeout = 5, %s }))
                cache:get("anything")
            ]]):format(server:url(), options or ""))
            run.wait_until("its link is up", function()
                return hosts[i]:call("cache:get('a') return cache:stats().tracking.state") == "on"
            end)
        end
        return hosts
    end

    local function stop(hosts)
        for _, host in ipairs(hosts) do
            host:stop()
        end
    end

    it("make a value go on every host, from memory, near tables and Redis", function()
        local hosts = start_hosts(2)
        local GET = "return cache:get('key')"
        hosts[1]:eval([[
            assert(cache:set("key", "value", 100, { tags = { "a", "b" } }))
            assert(cache:set("other", "value", 100, { tags = { "c" } }))
            assert(cache:set("untagged", "value", 100))
        ]])
        for _, tag in ipairs({ "b", "a" }) do
            for _, host in ipairs(hosts) do
                run.wait_until("it is a near hit", function()
                    assert.are.equal("'value'", host:eval("return (cache:get('key'))"))
                    local before = host:call("return cache:stats().memory.near_hits")
                    host:eval(GET)
                    return host:call("return cache:stats().memory.near_hits") == before + 1
                end)
            end
            assert.are.equal("true", hosts[2]:eval(("return cache:invalidate_tag(%q)"):format(tag)))
            assert.are.equal("nil nil nil", hosts[2]:eval(GET))
            run.wait_until("the other host has heard of it", function()
                return hosts[1]:eval(GET) == "nil nil nil"
            end)
            for _, host in ipairs(hosts) do
                assert.are.equal("'value' 'value'",
                    host:eval("return (cache:get('other')), (cache:get('untagged'))"))
            end
            -- As often as one likes.
            hosts[1]:eval("assert(cache:set('key', 'value', 100, { tags = { 'a', 'b' } }))")
            run.wait_until("it is back", function()
                return hosts[2]:eval("return (cache:get('key'))") == "'value'"
            end)
        end
        stop(hosts)
    end)

    it("of what a loader made are those of the call and those that it returned", function()
        local hosts = start_hosts(2)
        local FETCH = [[
            loads = loads or 0
            return (cache:fetch("made", { tags = { "given" } }, function()
                loads = loads + 1
                return "made " .. loads, nil, 100, { "returned", "given" }
            end))
        ]]
        -- Not the first time, if a message comes in between: of a value that a read found to be
        -- none, say, and removed.
        local function kept()
            local value
            run.wait_until("what is made is kept", function()
                value = hosts[1]:eval(FETCH)
                return hosts[2]:eval("return (cache:get('made'))") == value
            end)
            return value
        end
        local before = kept()
        for _, tag in ipairs({ "given", "returned" }) do
            hosts[2]:eval(("assert(cache:invalidate_tag(%q))"):format(tag))
            run.wait_until("the other host has heard of it", function()
                return hosts[1]:eval("return cache:get('made')") == "nil nil nil"
            end)
            local now = kept()
            assert.are_not.equal(before, now)
            before = now
        end
        stop(hosts)
    end)

    it("leave values as they are in Redis, and nothing of theirs that outlives them", function()
        local cache = caches.on(server, { tags = true, prefix = "t:" })
        for i = 1, 50 do
            cache:set("key" .. i, "value" .. i, 100, { tags = { "a", "tag" .. i } })
        end
        assert.are.equal("value7", server:call("GET", "t:key7"))
        assert.are.equal(50, #cache:keys())
        assert.is_true(cache:delete("key1"))
        assert.is_true(cache:set("key2", "untagged", 100))
        assert.are.equal(49, #server:call("KEYS", "t:#tandem:tags:*"))
        assert.are.equal("", server:call("GET", "t:#tandem:tags:key2"))
        assert.are.equal(38, cache:delete_by_pattern("key[^2]*"))
        assert.are.equal(11, #server:call("KEYS", "t:#tandem:tags:*"))
        -- What only the library's own keys match.
        assert.are.equal(0, cache:delete_by_pattern("*a*"))
        assert.are.equal(11, #server:call("KEYS", "t:#tandem:tags:*"))
        assert.are.equal("value20", (cache:get("key20")))
        assert.is_true(cache:clear())
        for _, key in ipairs(server:keys()) do
            assert.are.equal("t:#tandem:tag:", key:sub(1, 14))
            local left = server:call("PTTL", key)
            assert.is_true(left > 0 and left <= 86400000, key .. " " .. left)
        end
    end)

    it("go by the hundred thousand, at the price of one", function()
        local hosts = start_hosts(2)
        hosts[1]:eval([[
            local behind = assert(require("resty.tandem").new("tags", { memory = "64m", redis = ]]
            .. ("%q"):format(server:url()) .. [[, prefix = "t:", tags = true, timeout = 5,
                write = "behind", on_redis_error = "fail" }))
            for i = 1, 100000 do
                local ok, err = behind:set("key" .. i, "value" .. i, 1000, { tags = { "every" } })
                while not ok do -- as much as may be is queued
                    require("posix.poll").poll({}, 1)
                    ok, err = behind:set("key" .. i, "value" .. i, 1000, { tags = { "every" } })
                end
            end
            cache:set("last", "value", 1000)
        ]])
        for _, host in ipairs(hosts) do
            for i = 1, 100000, 20000 do
                assert.are.equal("'value" .. i .. "'",
                                 host:eval(("return (cache:get('key%d'))"):format(i)))
            end
        end
        local began = run.now()
        assert.are.equal("true", hosts[2]:eval("return cache:invalidate_tag('every')"))
        -- To walk them would take several seconds.
        assert.is_true(run.now() - began < 1, run.now() - began)
        run.wait_until("the other host has heard of it", function()
            return hosts[1]:eval("return (cache:get('key1'))") == "nil"
        end)
        for _, host in ipairs(hosts) do
            assert.are.equal("0", host:eval([[
                local found = 0
                for i = 1, 100000, 97 do
                    found = found + (cache:get("key" .. i) and 1 or 0)
                end
                return found
            ]]))
        end
        stop(hosts)
    end)

    it("are invalidated in Redis when that is back", function()
        local hosts = start_hosts(1, "max_stale = 0.2")
        -- Has nothing in memory for longer than that, and so asks Redis.
        local other = caches.on(server, { tags = true, prefix = "t:", memory_ttl = 0.001 })
        hosts[1]:eval("assert(cache:set('key', 'value', 100, { tags = { 'a' } }))")
        assert.are.equal("value", (other:get("key")))
        server:call("SAVE")
        server:kill()
        run.wait_until("an invalidation is for later", function()
            return hosts[1]:eval("return cache:invalidate_tag('a')"):find("^true 'queued: ")
        end)
        assert.are.equal("nil", hosts[1]:eval("return (cache:get('key'))"))
        -- Nothing that is deleted meanwhile takes it along.
        assert.is_truthy(hosts[1]:eval("return cache:delete_by_pattern('*a*')"):find("^nil "))
        assert.is_truthy(hosts[1]:eval("return cache:clear()"):find("^nil "))
        -- What is set meanwhile is there, also when it is no longer fresh.
        assert.is_truthy(hosts[1]:eval("return cache:set('b', 'new', 100, { tags = { 'b' } })")
                         :find("^true 'queued: "))
        run.nap(250)
        assert.are.equal("'new' nil 'stale'", hosts[1]:eval("return cache:get('b')"))
        assert.is_truthy(hosts[1]:eval("return cache:invalidate_tag('b')"):find("^true 'queued: "))
        assert.are.equal("nil", hosts[1]:eval("return (cache:get('b'))"))
        server:restart()
        run.wait_until("Redis is told", function()
            hosts[1]:eval("cache:get('anything')")
            local value, err, tier = other:get("key")
            return value == nil and not err and not tier
        end)
        assert.are.equal("nil nil nil", hosts[1]:eval("return cache:get('key')"))
        stop(hosts)
    end)

    -- Three hosts of two workers each, killed again and again.
    it("never let through what was made before an invalidation, whoever is killed", function()
        local HOSTS, WORKERS = 3, 2
        local WRITERS = HOSTS * WORKERS
        local folder = run.temp_dir()
        local file = folder .. "/ledger"
        run.write_file(file, ledger.empty())
        local book = ledger.open(file)
        local function options_of(host)
            return ([[{ memory = "2m", path = %q, redis = %q, prefix = "s:", tags = true,
                        max_stale = 1, timeout = 2, connect_timeout = 2, ttl = 100,
                        on_redis_error = "fail" }]]):format(folder .. "/segment" .. host,
                                                            server:url())
        end
        local workers = crowd.start("tagged.lua", file, book, WRITERS, WORKERS, function(number)
            return options_of(math.floor(number / WORKERS) + 1)
        end)
        math.randomseed(tonumber(os.getenv("TANDEM_SEED")) or os.time())
        local began, kills = run.now(), 0
        while run.now() - began < SECONDS do
            run.nap(150)
            workers:check()
            workers:replace(math.random(0, WRITERS - 1))
            kills = kills + 1
        end
        workers:finish()

        -- In the end every host has what one has that asks Redis for everything.
        local LOOK = ([[
            local gets = {}
            for tag = 0, %d do
                for i = 1, 5 do
                    gets[tag .. "." .. i] = cache:get(tag .. "." .. i) or false
                end
            end
            return gets
        ]]):format(ledger.KEYS - 1)
        local ends = {}
        for host = 1, HOSTS + 1 do
            ends[host] = remote.start()
            ends[host]:eval(("cache = assert(require('resty.tandem').new('tagged', %s))")
                            :format(options_of(host)))
        end
        local function differing()
            local truth = ends[HOSTS + 1]:call(LOOK)
            for host = 1, HOSTS do
                local look = ends[host]:call(LOOK)
                for key, value in pairs(truth) do
                    if look[key] ~= value then
                        return ("host %d, %s: %s, and in Redis %s"):format(host, key,
                            tostring(look[key]), tostring(value))
                    end
                end
            end
        end
        run.wait_until("every host is equal to Redis", function() return not differing() end, 20)
        run.nap(1100) -- also when all that was fresh for a while only has become stale
        assert.is_nil(differing())
        stop(ends)

        local sums = {}
        for which = 1, 5 do
            sums[which] = workers:sum(which)
        end
        print(("%d kills, %d fetches, %d loads, %d sets, %d invalidations, %d failed"):format(kills,
            unpack(sums)))
        assert.is_true(sums[1] > 1000 and sums[2] > 100 and sums[3] > 50 and sums[4] > 50)
    end)
end)
