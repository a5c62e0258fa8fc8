-- A cache in memory only: methods on one key, arguments, handles.

local ffi = require "ffi"

local tandem = require "resty.tandem"

local C = require("resty.tandem.lib").C

local MB = 1024 * 1024

-- Anonymous segments, one for each name: a fresh name is a fresh cache.
local count = 0
local function fresh(opts)
    count = count + 1
    opts = opts or {}
    opts.memory = opts.memory or "2m"
    return assert(tandem.new("unit-" .. count, opts))
end

local function returns(...)
    return { n = select("#", ...), ... }
end

-- The message that a call raises, which must name this file: the error is the caller's.
local function raised(fn, ...)
    local arguments, n = { ... }, select("#", ...)
    local ok, err = pcall(function()
        fn(unpack(arguments, 1, n))
        return nil
    end)
    assert.is_false(ok)
    local file, message = err:match("^(.-):%d+: (.*)$")
    assert.is_truthy(file and file:find("cache_spec.lua", 1, true), err)
    return message
end

describe("get and set", function()
    local cache = fresh()

    it("find what was stored, and say where", function()
        assert.are.same(returns(true), returns(cache:set("key", "value")))
        assert.are.same(returns("value", nil, "memory"), returns(cache:get("key")))
    end)

    it("answer three nils for a miss", function()
        assert.are.same(returns(nil, nil, nil), returns(cache:get("absent")))
    end)

    it("replace", function()
        cache:set("key", "a longer value than before")
        assert.are.equal("a longer value than before", (cache:get("key")))
        cache:set("key", "x")
        assert.are.equal("x", (cache:get("key")))
    end)

    it("take any bytes as key and as value", function()
        local all = {}
        for i = 0, 255 do
            all[#all + 1] = string.char(i)
        end
        all = table.concat(all)
        local keys = { "\0", "\0\0", "a\0b", "a\0c", "\255\254", all, " ", "#tandem", "#" }
        for _, key in ipairs(keys) do
            assert.is_true(cache:set(key, key .. all))
        end
        for _, key in ipairs(keys) do
            assert.are.equal(key .. all, (cache:get(key)))
        end
    end)

    it("take an empty value for a value", function()
        cache:set("empty", "")
        assert.are.same(returns("", nil, "memory"), returns(cache:get("empty")))
        assert.is_true(cache:exists("empty"))
    end)

    it("hold values of every size up to the limit", function()
        local big = fresh({ memory = "256m" })
        local limit = C.tandem_value_limit(big.handle)
        local largest = math.min(limit, 3 * MB)
        assert.is_true(largest >= MB)
        for _, n in ipairs({ 1, 16383, 16384, 16385, 100000, MB - 1, MB, largest }) do
            local value = ("%d:"):format(n):rep(math.ceil(n / 3)):sub(1, n)
            assert.is_true(big:set("k" .. n, value))
            assert.is_true(big:get("k" .. n) == value, n .. " bytes")
        end
        -- The buffer has grown, and small values are still themselves.
        big:set("small", "s")
        assert.are.equal("s", (big:get("small")))
        big:close()
    end)

    it("are not disturbed by a __gc of the application that uses the cache", function()
        local own = fresh({ memory = "8m" })
        own:set("collected", ("c"):rep(3000))
        own:set("collected too", "cc")
        local values, keys, runs = {}, {}, 0
        for i = 1, 64 do
            keys[i], values[i] = "key" .. i, ("%d-"):format(i):rep(i)
            own:set(keys[i], values[i])
        end
        local function collected()
            runs = runs + 1
            own:get(runs % 2 == 0 and "collected" or "collected too")
            own:get_multi({ "collected", "collected too" })
            own:ttl("collected")
        end
        local function litter()
            getmetatable(newproxy(true)).__gc = collected
        end
        for round = 1, 20000 do
            local i = round % 64 + 1
            litter()
            if own:get(keys[i]) ~= values[i] then
                error("a wrong value for " .. keys[i])
            end
            if round % 50 == 0 then
                local found = own:get_multi(keys)
                for j = 1, 64 do
                    assert(found[keys[j]] == values[j], keys[j])
                end
                assert(#own:keys("key*") == 64)
                assert(own:ttl(keys[i]) == 0)
            end
        end
        collectgarbage()
        collectgarbage()
        assert.are.equal(20000, runs)
    end)

    it("refuse a value larger than memory takes, saying how large it may be", function()
        local limit = C.tandem_value_limit(cache.handle)
        local ok, err = cache:set("big", ("x"):rep(limit + 1))
        assert.is_nil(ok)
        assert.are.equal(("value too large: %d bytes, at most %d"):format(limit + 1, limit), err)
        assert.is_nil((cache:get("big")))
        assert.is_true(cache:set("big", ("x"):rep(limit)))
    end)

    it("take keys up to the limit", function()
        local limit = C.tandem_key_limit(cache.handle)
        local key = ("k"):rep(limit)
        assert.is_true(cache:set(key, "v"))
        assert.are.equal("v", (cache:get(key)))
        local sentence = ("key must be at most %d bytes long, got %d bytes"):format(limit,
                                                                                   limit + 1)
        assert.are.equal(sentence, raised(cache.get, cache, key .. "k"))
        assert.are.equal(sentence, raised(cache.set, cache, key .. "k", "v"))
    end)
end)

describe("delete, exists and ttl", function()
    local cache = fresh()

    it("tell what was there from what was not", function()
        cache:set("key", "v")
        assert.are.same(returns(true), returns(cache:exists("key")))
        assert.are.same(returns(true), returns(cache:delete("key")))
        assert.are.same(returns(false), returns(cache:delete("key")))
        assert.are.same(returns(false), returns(cache:exists("key")))
        assert.are.same(returns(nil), returns(cache:ttl("key")))
        assert.is_nil((cache:get("key")))
    end)

    it("say 0 for no expiry", function()
        cache:set("key", "v")
        assert.are.equal(0, cache:ttl("key"))
        cache:set("key", "v", 0)
        assert.are.equal(0, cache:ttl("key"))
    end)
end)

describe("the TTL", function()
    local shifted = 0
    local function pass(seconds)
        C.tandem_clock_shift(seconds * 1000)
        shifted = shifted + seconds
    end
    teardown(function() C.tandem_clock_shift(-shifted * 1000) end)

    it("ends an entry, not a moment before", function()
        local cache = fresh()
        cache:set("short", "v", 10)
        cache:set("long", "v", 1000)
        pass(9)
        assert.are.equal("v", (cache:get("short")))
        local left = cache:ttl("short")
        assert.is_true(left > 0.5 and left <= 1.01, left)
        pass(1.1)
        assert.are.same(returns(nil, nil, nil), returns(cache:get("short")))
        assert.is_false(cache:exists("short"))
        assert.is_nil((cache:ttl("short")))
        assert.is_false(cache:delete("short"))
        assert.are.equal("v", (cache:get("long")))
    end)

    it("counts in milliseconds, at least one", function()
        local cache = fresh()
        cache:set("key", "v", 0.25)
        local left = cache:ttl("key")
        assert.is_true(left > 0.1 and left <= 0.26, left)
        cache:set("key", "v", 0.0000001)
        assert.is_true(cache:exists("key"))
        pass(0.1)
        assert.is_false(cache:exists("key"))
    end)

    it("of the option is the default", function()
        local cache = fresh({ ttl = 50 })
        cache:set("default", "v")
        cache:set("own", "v", 200)
        cache:set("none", "v", 0)
        pass(60)
        assert.is_false(cache:exists("default"))
        assert.is_true(cache:exists("own"))
        assert.are.equal(0, cache:ttl("none"))
    end)

    it("starts anew with each set", function()
        local cache = fresh()
        cache:set("key", "v", 10)
        pass(8)
        cache:set("key", "v", 10)
        pass(8)
        assert.is_true(cache:exists("key"))
    end)

    it("is checked", function()
        local cache = fresh()
        for _, case in ipairs({
            { -1, "ttl must be >= 0, got -1" },
            { "5", 'ttl must be a number, got "5"' },
            { {}, "ttl must be a number, got table" },
            { 0 / 0, "ttl must be a finite number, got nan" },
            { math.huge, "ttl must be a finite number, got inf" },
            { 1e12, "ttl must be <= 3153600000 seconds, got 1000000000000" },
            { 5LL, "ttl must be a number, got cdata" },
        }) do
            assert.are.equal(case[2], raised(cache.set, cache, "k", "v", case[1]))
            assert.are.equal(case[2], raised(cache.set_multi, cache, { k = "v" }, case[1]))
        end
        assert.is_false(cache:exists("k"))
    end)
end)

describe("a wrong argument", function()
    local cache = fresh()

    local BAD_KEYS = {
        { nil, "key must be a string, got nil" },
        { 5, "key must be a string, got 5" },
        { true, "key must be a string, got true" },
        { {}, "key must be a string, got table" },
        { "", "key must not be empty" },
        { "#tandem:", 'key must not begin with "#tandem:", which is reserved, got "#tandem:"' },
        { "#tandem:\n",
          'key must not begin with "#tandem:", which is reserved, got "#tandem:\\x0a"' },
    }
    for _, method in ipairs({ "get", "set", "delete", "exists", "ttl" }) do
        for i = 1, #BAD_KEYS do
            it(("of %s: %s"):format(method, BAD_KEYS[i][2]), function()
                assert.are.equal(BAD_KEYS[i][2], raised(cache[method], cache, BAD_KEYS[i][1], "v"))
            end)
        end
        it("of " .. method .. " is a dot for a colon", function()
            local sentence = "a method of a cache must be called with a colon, as in cache:get(key)"
            assert.are.equal(sentence, raised(cache[method], "key", "v"))
            assert.are.equal(sentence, raised(cache[method], {}, "v"))
        end)
    end

    it("of set is a value that is no string", function()
        assert.are.equal('value must be a string, got table: use codec = "json" or "buffer"',
                         raised(cache.set, cache, "k", {}))
        assert.are.equal('value must be a string, got number: use codec = "json" or "buffer"',
                         raised(cache.set, cache, "k", 5))
        assert.are.equal("value must not be nil: use delete", raised(cache.set, cache, "k"))
    end)

    it("of new is raised at the caller's line", function()
        assert.are.equal("opts.ttl must be >= 0, got -1", raised(tandem.new, "x", { ttl = -1 }))
        assert.are.equal('unknown option opts.memroy: did you mean "memory"?',
                         raised(tandem.new, "x", { memroy = "1m" }))
        assert.is_truthy(raised(tandem.new, "a b"):find("^name must be"))
        assert.are.equal("fn must be a function or nil, got string", raised(tandem.set_logger, "x"))
    end)

    it("of new is what only C can tell, too", function()
        local message = raised(tandem.new, "x", { redis = "redis://h", prefix = ("p"):rep(600) })
        assert.is_truthy(message:find("prefix", 1, true), message)
        for _, rest in ipairs({ "h:99999", "h:x", "h/x", "" }) do
            local url = "redis://:s3cret@" .. rest
            message = raised(tandem.new, "bad-url", { redis = url })
            assert.is_nil(message:find("s3cret", 1, true), message)
        end
    end)
end)

describe("a codec", function()
    it("converts on the way in and out", function()
        local cache = fresh({ codec = "json" })
        cache:set("t", { a = { 1, 2 } })
        assert.are.same(returns({ a = { 1, 2 } }, nil, "memory"), returns(cache:get("t")))
        cache:set("f", false)
        assert.are.same(returns(false, nil, "memory"), returns(cache:get("f")))
        assert.are.same({ t = { a = { 1, 2 } }, f = false }, (cache:get_multi({ "t", "f" })))
    end)

    it("that cannot express a value makes set return the error", function()
        local cache = fresh({ codec = "json" })
        local ok, err = cache:set("k", { 1 / 0 })
        assert.is_nil(ok)
        assert.is_truthy(err:find("^value cannot be written as JSON"), err)
        ok, err = cache:set_multi({ good = 1, ["k\n"] = { 1 / 0 } })
        assert.is_nil(ok)
        assert.is_truthy(err:find('^the value of key "k\\x0a" cannot be written as JSON'), err)
        assert.is_false(cache:exists("good"))
    end)

    it("that cannot read a value makes get return the error, without a value", function()
        local bad = { name = "picky", encode = tostring, decode = function(bytes)
            if bytes == "odd" then
                return nil, "odd bytes"
            end
            return bytes
        end }
        local cache = fresh({ codec = bad })
        cache:set("a\0", "odd")
        cache:set("b", "even")
        assert.are.same(returns(nil, 'cannot decode the value of key "a\\x00": odd bytes'),
                        returns(cache:get("a\0")))
        local values, err = cache:get_multi({ "a\0", "b" })
        assert.are.same({ b = "even" }, values)
        assert.are.equal('1 of 2 keys could not be read: cannot decode the value of key "a\\x00":'
                         .. " odd bytes", err)
    end)
end)

describe("eviction", function()
    it("makes room for what is new, and is counted", function()
        local cache = fresh({ memory = "1m" })
        local value = ("v"):rep(1000)
        for i = 1, 5000 do
            assert.is_true(cache:set("key" .. i, value))
        end
        assert.are.equal(value, (cache:get("key5000")))
        local stats = cache:stats()
        assert.is_true(stats.eviction_count > 3000, stats.eviction_count)
        assert.is_true(stats.entries < 1100, stats.entries)
    end)
end)

describe("stats", function()
    it("count a lookup once, as a hit or a miss", function()
        local cache = fresh()
        cache:set("a", "12345")
        for _ = 1, 3 do
            cache:get("a")
        end
        cache:get("b")
        local stats = cache:stats()
        assert.are.equal(3, stats.hits)
        assert.are.equal(3, stats.hit_count)
        assert.are.equal(1, stats.misses)
        assert.are.equal(1, stats.miss_count)
        assert.are.equal(0.75, stats.avg_hit_rate)
        assert.are.equal(1, stats.entries)
        assert.are.equal(0, stats.eviction_count)
        assert.is_true(stats.memory_usage_bytes >= 6)
    end)

    it("are zero, not nothing, for a cache unused", function()
        local stats = fresh():stats()
        assert.are.equal(0, stats.hits)
        assert.are.equal(0, stats.misses)
        assert.are.equal(0, stats.avg_hit_rate)
        assert.are.equal(0, stats.entries)
    end)

    it("have every counter of the tiers", function()
        local stats = fresh():stats()
        local metric = ffi.new "tandem_metric"
        assert.is_true(C.tandem_metric_count() > 20)
        for i = 0, C.tandem_metric_count() - 1 do
            assert.are.equal(C.TANDEM_OK, C.tandem_metric_at(i, metric))
            local value = stats[ffi.string(metric.tier)][ffi.string(metric.name)]
            if ffi.string(metric.kind) == "histogram" then
                value = value.count
            end
            assert.is_number(value)
        end
        assert.are.equal(2 * MB, stats.memory.segment_bytes)
        assert.are.equal("none", stats.redis.state)
        assert.is_nil(stats.redis.server)
        assert.are.equal("off", stats.tracking.state)
    end)
end)

describe("handles", function()
    it("of one name and identity share the segment", function()
        local a = fresh({ ttl = 5 })
        local b = assert(tandem.new(a.name, { memory = "2m", ttl = 500 }))
        a:set("from a", "1")
        assert.are.equal("1", (b:get("from a")))
        b:set("from b", "2")
        assert.are.equal("2", (a:get("from b")))
        -- What is not identity is each handle's own.
        assert.is_true(a:ttl("from a") <= 5.01)
        assert.is_true(b:ttl("from b") > 100)
    end)

    it("close one by one", function()
        local a = fresh()
        local b = assert(tandem.new(a.name, { memory = "2m" }))
        a:set("k", "v")
        assert.is_true(a:close())
        assert.are.equal("v", (b:get("k")))
        assert.is_true(b:close())
    end)

    it("raise after close", function()
        local cache = fresh()
        local sentence = ('cache "%s" is closed'):format(cache.name)
        cache:close()
        local methods = 0
        for name, method in pairs(require("resty.tandem.cache")) do
            if type(method) == "function" and name ~= "open" then
                assert.are.equal(sentence, raised(method, cache, "k", "v"), name)
                methods = methods + 1
            end
        end
        assert.is_true(methods >= 26, methods)
        assert.are.equal(('tandem cache "%s" (closed)'):format(cache.name), tostring(cache))
    end)

    it("of another identity are refused while one is open, naming the option", function()
        local cache = fresh()
        local name = cache.name
        local function refused(opts)
            return raised(tandem.new, name, opts)
        end
        local begin = ('cache "%s" is open in this Lua VM with another opts.'):format(name)
        assert.are.equal(begin .. "memory: it has 2097152, got 4194304", refused({ memory = "4m" }))
        assert.are.equal(begin .. 'codec: it has "string", got "json"',
                         refused({ memory = "2m", codec = "json" }))
        assert.are.equal(begin .. 'entry_size: it has nil, got 500',
                         refused({ memory = "2m", entry_size = 500 }))
        assert.are.equal(begin .. 'path: it has nil, got "/dev/shm/none"',
                         refused({ memory = "2m", path = "/dev/shm/none" }))
        assert.are.equal(begin .. 'redis: it has nil, got "a Redis"',
                         refused({ memory = "2m", redis = "redis://127.0.0.1:1" }))
        cache:set("k", "v")
        assert.are.equal("v", (cache:get("k")))

        cache:close()
        local other = assert(tandem.new(name, { memory = "4m" }))
        assert.is_nil((other:get("k")))
        other:close()
    end)

    it("of a Redis compare endpoint, database and prefix, not secrets", function()
        local cache = fresh({ redis = "redis://u:s3cret@127.0.0.1:1/2" })
        local name = cache.name
        assert(tandem.new(name, { memory = "2m", redis = "redis://127.0.0.1:1/2" })):close()
        local message = raised(tandem.new, name, { memory = "2m", redis = "redis://127.0.0.1:1/3" })
        assert.is_truthy(message:find("opts.redis", 1, true), message)
        assert.is_nil(message:find("s3cret", 1, true), message)
        message = raised(tandem.new, name,
                         { memory = "2m", redis = "redis://127.0.0.1:1/2", prefix = "other:" })
        assert.is_truthy(message:find("another opts.prefix: it has", 1, true), message)
        cache:close()
    end)

    it("left to the collector give their segment back", function()
        local function file_size(path)
            local file = io.open(path, "rb")
            return file and file:close()
        end
        local path = os.tmpname()
        os.remove(path)
        do
            local cache = fresh({ path = path })
            cache:set("k", "v")
        end
        assert.is_truthy(file_size(path))
        collectgarbage()
        collectgarbage()
        -- Another identity for that name is free again.
        local name = "unit-" .. count
        local other = tandem.new(name, { memory = "4m" })
        assert.is_truthy(other)
        os.remove(path)
    end)

    it("that cannot be made say why", function()
        local cache, err = tandem.new("unit-nowhere", { path = "/nonexistent/dir/file" })
        assert.is_nil(cache)
        assert.is_truthy(err:find("/nonexistent/dir/file", 1, true), err)
    end)
end)
