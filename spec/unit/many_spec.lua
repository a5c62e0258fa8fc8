-- A cache in memory only: methods on many keys, and on all.

local tandem = require "resty.tandem"

local C = require("resty.tandem.lib").C

local count = 0
local function fresh(opts)
    count = count + 1
    opts = opts or {}
    opts.memory = opts.memory or "2m"
    return assert(tandem.new("unit-many-" .. count, opts))
end

local function returns(...)
    return { n = select("#", ...), ... }
end

local function raised(fn, ...)
    local arguments, n = { ... }, select("#", ...)
    local ok, err = pcall(function()
        fn(unpack(arguments, 1, n))
        return nil
    end)
    assert.is_false(ok)
    local file, message = err:match("^(.-):%d+: (.*)$")
    assert.is_truthy(file and file:find("many_spec.lua", 1, true), err)
    return message
end

local function sorted(list)
    table.sort(list)
    return list
end

describe("many keys at once", function()
    it("are set, read, asked for and deleted", function()
        local cache = fresh()
        local given = { a = "1", b = "", ["c\0"] = "3" }
        assert.are.same(returns(true, nil), returns(cache:set_multi(given)))
        assert.are.same(returns(given),
                        returns(cache:get_multi({ "a", "b", "c\0", "absent" })))
        assert.are.same(returns({ a = true, absent = false }),
                        returns(cache:exists_multi({ "a", "absent" })))
        assert.are.same(returns(2, nil), returns(cache:delete_multi({ "a", "absent", "b" })))
        assert.are.same({ ["c\0"] = "3" }, (cache:get_multi({ "a", "b", "c\0" })))
    end)

    it("may come twice", function()
        local cache = fresh()
        cache:set("a", "1")
        assert.are.same({ a = "1" }, (cache:get_multi({ "a", "a", "a" })))
        assert.are.same({ a = true }, (cache:exists_multi({ "a", "a" })))
        assert.are.equal(1, (cache:delete_multi({ "a", "a" })))
    end)

    it("may be none", function()
        local cache = fresh()
        assert.are.same({}, (cache:get_multi({})))
        assert.are.same({}, (cache:exists_multi({})))
        assert.is_true(cache:set_multi({}))
        assert.are.equal(0, (cache:delete_multi({})))
    end)

    it("may be thousands, of any size", function()
        local cache = fresh({ memory = "64m" })
        local given, keys = {}, {}
        for i = 1, 3000 do
            local key = "key" .. i
            given[key], keys[i] = (i .. ","):rep(i % 70 == 0 and 20000 or i % 50), key
        end
        assert.is_true(cache:set_multi(given))
        local values, err = cache:get_multi(keys)
        assert.is_nil(err)
        for key, value in pairs(given) do
            assert.is_true(values[key] == value, key)
        end
        assert.are.equal(3000, (cache:delete_multi(keys)))
    end)

    it("share one TTL", function()
        local cache = fresh({ ttl = 1000 })
        cache:set_multi({ a = "1", b = "2" }, 10)
        cache:set_multi({ c = "3" })
        assert.is_true(cache:ttl("a") <= 10.01 and cache:ttl("b") > 5)
        assert.is_true(cache:ttl("c") > 900)
    end)

    it("that could not all be stored are counted", function()
        local cache = fresh()
        local limit = C.tandem_value_limit(cache.handle)
        local ok, err = cache:set_multi({ small = "1", large = ("x"):rep(limit + 1) })
        assert.is_nil(ok)
        assert.are.equal(("1 of 2 keys could not be stored: value too large: %d bytes, at most %d")
                         :format(limit + 1, limit), err)
        assert.are.equal("1", (cache:get("small")))
    end)
end)

describe("a wrong argument for many keys", function()
    local cache = fresh()
    local ARRAY = "keys must be an array of strings, got "
    local BAD = {
        { nil, ARRAY .. "nil" },
        { "key", ARRAY .. '"key"' },
        { { a = "1" }, ARRAY .. 'a table with the index "a"' },
        { { [0] = "a" }, ARRAY .. "a table with the index 0" },
        { { [1.5] = "a" }, ARRAY .. "a table with the index 1.5" },
        { { "a", 5 }, "keys[2] must be a string, got 5" },
        { { "a", false }, "keys[2] must be a string, got false" },
        { { "" }, "keys[1] must not be empty" },
        { { "a", "#tandem:x" },
          'keys[2] must not begin with "#tandem:", which is reserved, got "#tandem:x"' },
        { { ("k"):rep(5000) }, "keys[1] must be at most 4096 bytes long, got 5000 bytes" },
    }
    for _, method in ipairs({ "get_multi", "exists_multi", "delete_multi" }) do
        for i = 1, #BAD do
            it(("of %s: %s"):format(method, BAD[i][2]), function()
                assert.are.equal(BAD[i][2], raised(cache[method], cache, BAD[i][1]))
            end)
        end
    end

    it("has a hole", function()
        local holed = {}
        holed[1], holed[3] = "a", "c"
        assert.is_truthy(raised(cache.get_multi, cache, holed):find(
            "^keys must be an array of strings, got a table with the index 3"))
    end)

    it("of set_multi is raised before anything is stored", function()
        assert.are.equal("tbl must be a table of keys and values, got nil",
                         raised(cache.set_multi, cache))
        assert.are.equal("each key of tbl must be a string, got 1",
                         raised(cache.set_multi, cache, { "v" }))
        assert.are.equal('the value of key "a" must be a string, got number: use codec = "json" or'
                         .. ' "buffer"', raised(cache.set_multi, cache, { a = 5 }))
        assert.are.equal("each key of tbl must not be empty",
                         raised(cache.set_multi, cache, { [""] = "v", good = "v" }))
        assert.is_false(cache:exists("good"))
    end)
end)

describe("keys", function()
    local cache = fresh({ memory = "16m" })
    local all = {}
    for i = 1, 5000 do
        all[i] = ("item:%04d"):format(i)
        cache:set(all[i], "v")
    end
    cache:set("other\0key", "v")

    it("are all there, each once", function()
        local found = sorted(cache:keys())
        assert.are.equal(5001, #found)
        assert.are.equal("other\0key", found[5001])
        found[5001] = nil
        assert.are.same(all, found)
    end)

    it("match a glob", function()
        assert.are.same({ "item:0010", "item:0011", "item:0012" },
                        sorted(cache:keys("item:001[0-2]")))
        assert.are.same({ "other\0key" }, cache:keys("other?key"))
        assert.are.equal(10, #cache:keys("item:123?"))
        assert.are.same({}, cache:keys("item:\\*"))
        assert.are.same({}, cache:keys(""))
    end)

    it("are at most limit", function()
        assert.are.equal(7, #cache:keys(nil, 7))
        assert.are.equal(1, #cache:keys("item:*", 1))
        assert.are.equal(5001, #cache:keys("*", 100000))
    end)

    it("leave expired ones out", function()
        local few = fresh()
        few:set("short", "v", 5)
        few:set("long", "v", 500)
        C.tandem_clock_shift(10000)
        finally(function() C.tandem_clock_shift(-10000) end)
        assert.are.same({ "long" }, few:keys())
    end)

    it("check their arguments", function()
        assert.are.equal("pattern must be a string, got 5", raised(cache.keys, cache, 5))
        assert.are.equal("limit must be a whole number >= 1, got 0",
                         raised(cache.keys, cache, "*", 0))
        assert.are.equal("limit must be a whole number >= 1, got 1.5",
                         raised(cache.keys, cache, "*", 1.5))
        assert.are.equal('limit must be a whole number >= 1, got "1"',
                         raised(cache.keys, cache, "*", "1"))
        assert.are.equal("limit must be a whole number >= 1, got nan",
                         raised(cache.keys, cache, "*", 0 / 0))
    end)
end)

describe("delete_by_pattern and clear", function()
    it("remove what they should, and count it", function()
        local cache = fresh({ memory = "16m" })
        for i = 1, 3000 do
            cache:set("a" .. i, "v")
        end
        cache:set_multi({ b1 = "v", b2 = "v" })
        assert.are.same(returns(3000), returns(cache:delete_by_pattern("a*")))
        assert.are.same(returns(0), returns(cache:delete_by_pattern("a*")))
        assert.are.same({ "b1", "b2" }, sorted(cache:keys()))
        assert.are.same(returns(true), returns(cache:clear()))
        assert.are.same({}, cache:keys())
        assert.is_nil((cache:get("b1")))
        assert.is_true(cache:set("b1", "again"))
        assert.are.equal("again", (cache:get("b1")))
    end)

    it("leave other caches alone", function()
        local a, b = fresh(), fresh()
        a:set("k", "a")
        b:set("k", "b")
        a:clear()
        assert.are.equal("b", (b:get("k")))
    end)

    it("check their arguments", function()
        local cache = fresh()
        assert.are.equal("pattern must be a string, got nil",
                         raised(cache.delete_by_pattern, cache))
        assert.are.equal("pattern must be a string, got table",
                         raised(cache.delete_by_pattern, cache, {}))
    end)
end)

describe("cleanup_expired", function()
    it("removes expired entries, at most so many", function()
        local cache = fresh()
        for i = 1, 100 do
            cache:set("short" .. i, "v", 5)
        end
        cache:set("long", "v", 500)
        assert.are.same(returns(0), returns(cache:cleanup_expired()))
        C.tandem_clock_shift(10000)
        finally(function() C.tandem_clock_shift(-10000) end)
        assert.are.equal(101, cache:stats().entries)
        assert.are.same(returns(30), returns(cache:cleanup_expired(30)))
        assert.are.same(returns(70), returns(cache:cleanup_expired()))
        assert.are.equal(1, cache:stats().entries)
        assert.are.equal("v", (cache:get("long")))
    end)

    it("checks its argument", function()
        local cache = fresh()
        assert.are.equal("max must be a whole number >= 1, got -1",
                         raised(cache.cleanup_expired, cache, -1))
        assert.are.equal('max must be a whole number >= 1, got "x"',
                         raised(cache.cleanup_expired, cache, "x"))
    end)
end)
