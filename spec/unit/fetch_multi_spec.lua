-- fetch_multi in plain LuaJIT: what the loader is given, what it may return, and what comes of it.

local caches = require "spec.support.caches"
local redis = require "spec.support.redis"
local run = require "spec.support.run"

local C = require("resty.tandem.lib").C

describe("fetch_multi", function()
    local shifted, given

    local function shift(ms)
        C.tandem_clock_shift(ms)
        shifted = shifted + ms
    end

    before_each(function()
        shifted, given = 0, {}
    end)
    after_each(function()
        C.tandem_clock_shift(-shifted)
    end)
    teardown(run.cleanup)

    -- Makes KEY! of each key but those that begin with "no".
    local function loader(keys, ...)
        given[#given + 1] = table.concat(keys, " ")
        local values = {}
        for _, key in ipairs(keys) do
            values[key] = not key:find("^no") and key .. "!" or nil
        end
        return values, ...
    end

    it("has the loader make what is missing, once, and remembers all of it", function()
        local cache = caches.open()
        cache:set("a", "A")
        for _ = 1, 2 do
            local values, err = cache:fetch_multi({ "c", "a", "b", "c", "none" }, loader)
            assert.are.same({ a = "A", b = "b!", c = "c!" }, values)
            assert.is_nil(err)
        end
        assert.are.same({ "c b none" }, given)
        assert.are.equal("negative", (select(3, cache:get("none"))))
        assert.are.same({}, (cache:fetch_multi({}, loader)))
        assert.are.equal(1, #given)
    end)

    it("takes opts and arguments as fetch does", function()
        local cache = caches.open()
        local function ttl_of(opts, ...)
            cache:clear()
            assert.are.same({ a = "a!" }, (cache:fetch_multi({ "a" }, opts, loader, ...)))
            return cache:ttl("a")
        end
        assert.are.equal(0, ttl_of(nil))
        assert.is_true(math.abs(ttl_of({ ttl = 50 }) - 50) < 1)
        assert.is_true(math.abs(ttl_of({ ttl = 50 }, nil, 20) - 20) < 1)
        assert.is_true(math.abs(ttl_of(nil, nil, "memory")) < 1) -- a tier's name is no TTL
        assert.is_nil(ttl_of(nil, nil, -1))
    end)

    it("makes a loader's error everybody's whose key was to be made", function()
        local cache = caches.open()
        cache:set("a", "A")
        for _, row in ipairs({
            { function() return nil, "no database" end, "no database" },
            { function() return { b = "b" }, "no database" end, "no database" },
            { function() return 5 end, "the loader must return a table of keys and values, got 5" },
            { function() return { b = "b" }, nil, "soon" end,
              'the TTL that the loader of key "b" returned must be a number, got "soon"' },
        }) do
            local values, err = cache:fetch_multi({ "a", "b", "c" }, row[1])
            assert.are.same({ a = "A" }, values)
            assert.are.equal("2 of 3 keys could not be had: " .. row[2], err)
        end
        local values, err = cache:fetch_multi({ "a", "b" }, function() error("broken") end)
        assert.are.same({ a = "A" }, values)
        assert.is_truthy(err:find('^1 of 2 keys could not be had: the loader of key "b" raised: .*'
                                  .. "broken\nstack traceback:"), err)
        -- Nothing is left under way.
        assert.are.same({ a = "A", b = "b!", c = "c!" },
                        (cache:fetch_multi({ "a", "b", "c" }, loader)))
    end)

    it("makes of what a codec refuses an error of that key alone", function()
        local cache = caches.open()
        local values, err = cache:fetch_multi({ "a", "b" }, function()
            return { a = {}, b = "b", c = "not asked for" }
        end)
        assert.are.same({ b = "b" }, values)
        assert.are.equal('1 of 2 keys could not be had: what the loader of key "a" returned cannot '
                         .. 'be cached: value must be a string, got table: use codec = "json" or '
                         .. '"buffer"', err)
        assert.is_nil((cache:get("c")))
        assert.are.equal("b", (cache:get("b")))
    end)

    it("answers values past their TTL, and makes them anew with one call", function()
        local cache = caches.open({ stale_ttl = 100, ttl = 10 })
        cache:fetch_multi({ "a", "b" }, loader)
        assert.are.equal(0, cache:stats().fetch.refreshes)
        shift(15000)
        local values, err = cache:fetch_multi({ "a", "b" }, function(keys)
            given[#given + 1] = "failed " .. table.concat(keys, " ")
            return nil, "no database"
        end)
        assert.are.same({ a = "a!", b = "b!" }, values)
        assert.is_nil(err)
        assert.are.same({ a = "a!", b = "b!", c = "c!" },
                        (cache:fetch_multi({ "a", "c", "b" }, loader)))
        assert.are.same({ "a b", "failed a b", "a b", "c" }, given)
        assert.are.equal(4, cache:stats().fetch.refreshes)
        assert.are.equal("memory", (select(3, cache:get("a"))))
        shift(200000)
        assert.are.same({ a = "a!" }, (cache:fetch_multi({ "a" }, loader)))
        assert.are.equal(5, #given)
    end)

    it("of a key that the loader fetches itself is an error", function()
        local cache, inner, err = caches.open()
        local values = cache:fetch_multi({ "a", "b" }, function()
            inner, err = cache:fetch_multi({ "x", "b" }, loader)
            local _, other = cache:fetch("a", loader)
            return { a = other }
        end)
        assert.are.same({ x = "x!" }, inner)
        assert.are.equal('1 of 2 keys could not be had: the loader of key "b" fetches that key '
                         .. "itself", err)
        assert.are.equal('the loader of key "a" fetches that key itself', values.a)
    end)

    it("makes more keys than there are places for flights", function()
        local cache, keys = caches.open({ memory = "8m" }), {}
        for i = 1, 3000 do
            keys[i] = "key" .. i
        end
        local values, err = cache:fetch_multi(keys, loader)
        assert.is_nil(err)
        for i = 1, 3000 do
            assert.are.equal("key" .. i .. "!", values["key" .. i])
        end
        assert.are.equal(1, #given)
        assert.are.equal(3000, cache:stats().entries)
    end)

    it("tells listeners what was there, and what was made", function()
        local cache, told = caches.open(), {}
        cache:set("a", "A")
        for _, event in ipairs({ "hit", "miss" }) do
            assert(cache:on(event, function(key) told[#told + 1] = event .. " " .. key end))
        end
        cache:fetch_multi({ "a", "b", "none" }, loader)
        assert.are.same({ "hit a", "miss b", "miss none" }, told)
    end)

    it("names what is wrong with its arguments", function()
        local cache = caches.open()
        local function wrong(message, ...)
            local ok, err = pcall(cache.fetch_multi, cache, ...)
            assert.is_false(ok)
            assert.is_truthy(err:find(message, 1, true), err)
        end
        wrong('keys must be an array of strings, got "a"', "a", loader)
        wrong("keys[2] must not be empty", { "a", "" }, loader)
        wrong("loader must be a function, got nil", { "a" })
        wrong("opts must be a table or nil, got 5", { "a" }, 5, loader)
        wrong("unknown option opts.tll", { "a" }, { tll = 5 }, loader)
        cache:close()
        wrong("is closed", { "a" }, loader)
    end)

    it("stores what was made in Redis, in one round trip", function()
        local server = redis.start()
        local cache, keys = caches.on(server, { memory = "4m" }), {}
        for i = 1, 500 do
            keys[i] = "key" .. i
        end
        server:call("SET", cache.name .. ":key7", "theirs")
        local values, err = cache:fetch_multi(keys, { ttl = 100 }, loader)
        assert.is_nil(err)
        assert.are.equal("theirs", values.key7)
        assert.are.equal("key8!", values.key8)
        assert.are.equal("key500!", server:call("GET", cache.name .. ":key500"))
        assert.is_true(server:call("PTTL", cache.name .. ":key500") > 90000)
        assert.are.equal(1, #given)
        assert.is_nil(given[1]:find("key7 ", 1, true))
        server:stop()
        -- Redis being away, what is made is answered all the same.
        values, err = cache:fetch_multi({ "key1", "new" }, loader)
        assert.is_nil(err)
        assert.are.same({ key1 = "key1!", new = "new!" }, values)
    end)
end)
