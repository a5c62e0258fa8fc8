-- fetch in plain LuaJIT, in memory only: what it returns, what loaders may return, and time.

local ffi = require "ffi"
local unistd = require "posix.unistd"

local caches = require "spec.support.caches"
local run = require "spec.support.run"

local C = require("resty.tandem.lib").C

local function returns(...)
    return { n = select("#", ...), ... }
end

describe("fetch", function()
    local shifted, loads

    local function shift(ms)
        C.tandem_clock_shift(ms)
        shifted = shifted + ms
    end

    before_each(function()
        shifted, loads = 0, 0
    end)
    after_each(function()
        C.tandem_clock_shift(-shifted)
    end)
    teardown(run.cleanup)

    local function loader(...)
        loads = loads + 1
        return ...
    end

    it("loads once, then remembers", function()
        local cache = caches.open()
        assert.are.same(returns("v", nil, "loader"), returns(cache:fetch("key", loader, "v")))
        for _ = 1, 5 do
            assert.are.same(returns("v", nil, "memory"), returns(cache:fetch("key", loader, "w")))
        end
        assert.are.same(returns("v", nil, "memory"), returns(cache:fetch("key", {}, loader, "w")))
        assert.are.same(returns("v", nil, "memory"), returns(cache:fetch("key", nil, loader, "w")))
        assert.are.same(returns("v", nil, "memory"), returns(cache:get("key")))
        assert.are.equal(1, loads)
        local stats = cache:stats()
        assert.are.equal(1, stats.fetch.loads)
        assert.are.equal(1, stats.misses)
        assert.are.equal(8, stats.hits)
    end)

    it("calls the loader with what it is given", function()
        local cache = caches.open({ codec = "json" })
        local function count(...)
            return { select("#", ...) }
        end
        assert.are.same({ 0 }, (cache:fetch("a", count)))
        assert.are.same({ 0 }, (cache:fetch("b", nil, count)))
        assert.are.same({ 1 }, (cache:fetch("c", count, 1)))
        assert.are.same({ 3 }, (cache:fetch("d", { ttl = 1 }, count, nil, nil, nil)))
    end)

    it("takes the TTL of the loader, the call or the cache, in this order", function()
        local cache = caches.open({ ttl = 10 })
        cache:fetch("cache", loader, "v")
        cache:fetch("call", { ttl = 20 }, loader, "v")
        cache:fetch("loader", { ttl = 20 }, loader, "v", nil, 30)
        cache:fetch("ever", { ttl = 20 }, loader, "v", nil, 0)
        cache:fetch("jitter", { ttl = 20, jitter = 1 }, loader, "v")
        for key, ttl in pairs({ cache = 10, call = 20, loader = 30 }) do
            local left = cache:ttl(key)
            assert.is_true(left > ttl - 5 and left <= ttl, key .. left)
        end
        assert.are.equal(0, cache:ttl("ever"))
        assert.is_true((cache:ttl("jitter") or 0) <= 20)
    end)

    it("does not keep what is not to be kept", function()
        local cache = caches.open()
        assert.are.same(returns("v", nil, "loader"),
                        returns(cache:fetch("key", loader, "v", nil, -1)))
        assert.are.same(returns("w", nil, "loader"),
                        returns(cache:fetch("key", loader, "w", nil, -0.001)))
        assert.is_nil((cache:get("key")))
        assert.are.equal(2, cache:stats().fetch.unkept)
    end)

    it("remembers absences for neg_ttl, until a value is set", function()
        local cjson = require "cjson"
        local cache = caches.open({ neg_ttl = 10 })
        for _, nothing in ipairs({ function() end, function() return nil end,
                                   function() return cjson.null end }) do
            assert.are.same(returns(nil, nil, "loader"), returns(cache:fetch("key", nothing)))
            assert.are.same(returns(nil, nil, "negative"), returns(cache:fetch("key", loader, "v")))
            assert.are.same(returns(nil, nil, "negative"), returns(cache:get("key")))
            assert.is_false(cache:exists("key"))
            assert.is_nil(cache:ttl("key"))
            assert.are.same({}, cache:keys())
            assert.are.same({}, cache:get_multi({ "key" }))
            assert.are.same(returns(nil, nil, nil, "negative"),
                            { n = 4, (select(2, cache:peek("key"))), nil, nil, "negative" })
            assert.is_false(cache:delete("key"))
        end
        cache:fetch("key", function() end)
        shift(9000)
        assert.are.same(returns(nil, nil, "negative"), returns(cache:fetch("key", loader, "v")))
        shift(2000)
        assert.are.same(returns("v", nil, "loader"), returns(cache:fetch("key", loader, "v")))
        cache:delete("key")
        cache:fetch("key", function() end)
        assert.is_true(cache:add("key", "added"))
        assert.are.same(returns("added", nil, "memory"), returns(cache:fetch("key", loader, "v")))
        cache:delete("key")
        cache:fetch("key", function() end)
        cache:set("key", "set")
        assert.are.same(returns("set", nil, "memory"), returns(cache:fetch("key", loader, "v")))
    end)

    it("remembers absences for another time, or not, when told so", function()
        local cache = caches.open({ neg_ttl = 10 })
        for _, case in ipairs({ { { neg_ttl = 0 } }, { nil, 0 }, { nil, -1 } }) do
            for _ = 1, 2 do
                assert.are.same(returns(nil, nil, "loader"),
                                returns(cache:fetch("key", case[1], loader, nil, nil, case[2])))
            end
        end
        cache:fetch("key", { neg_ttl = 100 }, loader)
        shift(50000)
        assert.are.same(returns(nil, nil, "negative"), returns(cache:fetch("key", loader)))
        cache:fetch("other", loader, nil, nil, 100)
        shift(50000)
        assert.are.same(returns(nil, nil, "negative"), returns(cache:fetch("other", loader)))
    end)

    it("returns the loader's error, and keeps nothing", function()
        local cache = caches.open()
        assert.are.same(returns(nil, "bad", nil), returns(cache:fetch("key", loader, nil, "bad")))
        assert.are.same(returns(nil, "bad", nil), returns(cache:fetch("key", loader, "v", "bad")))
        assert.are.same(returns(nil, "5", nil), returns(cache:fetch("key", loader, nil, 5)))
        local _, err = cache:fetch("k\n", function() error("oh") end)
        assert.is_truthy(err:find('^the loader of key "k\\x0a" raised: .-fetch_spec.lua:%d+: oh\n'
                                  .. "stack traceback:\n"), err)
        assert.are.same(returns("v", nil, "loader"), returns(cache:fetch("key", loader, "v")))
        assert.are.equal(4, cache:stats().fetch.load_errors)
    end)

    it("says what is wrong with what the loader returned", function()
        local cache = caches.open({ memory = "1m" })
        for _, case in ipairs({
            { { {} }, 'what the loader of key "key" returned cannot be cached: value must be a'
                      .. ' string, got table: use codec = "json" or "buffer"' },
            { { "v", nil, "60" }, 'the TTL that the loader of key "key" returned must be a number,'
                                  .. ' got "60"' },
            { { "v", nil, 0 / 0 }, 'the TTL that the loader of key "key" returned must be a finite'
                                   .. " number, got nan" },
            { { nil, nil, {} }, 'the TTL that the loader of key "key" returned must be a number,'
                                .. " got table" },
        }) do
            local _, err = cache:fetch("key", loader, case[1][1], case[1][2], case[1][3])
            assert.are.equal(case[2], (err:gsub("%-nan", "nan")))
        end
        local json = caches.open({ codec = "json" })
        local _, err = json:fetch("key", loader, { print })
        assert.is_truthy(err:find('^what the loader of key "key" returned cannot be cached: value'
                                  .. " cannot be written as JSON: "), err)
        -- Too much is ignored, and too large answered.
        assert.are.same(returns("v", nil, "loader"),
                        returns(cache:fetch("much", loader, "v", nil, 5, 6, 7)))
        local large = ("x"):rep(100000)
        for _ = 1, 2 do
            assert.are.same(returns(large, nil, "loader"),
                            returns(cache:fetch("large", loader, large)))
        end
        -- What get returned may be returned.
        assert.are.same(returns("v", nil, "loader"),
                        returns(cache:fetch("chained", function() return cache:get("much") end)))
    end)

    it("tells a loader that it fetches itself", function()
        local cache = caches.open()
        local function itself()
            return cache:fetch("key", itself)
        end
        assert.are.same(returns(nil, 'the loader of key "key" fetches that key itself', nil),
                        returns(cache:fetch("key", itself)))
        assert.are.same(returns("v", nil, "loader"), returns(cache:fetch("key", loader, "v")))
    end)

    it("names the codec's troubles with what is there already", function()
        local cache = caches.open({ codec = "json" }, "fetch-odd")
        local writer = caches.open({ codec = { name = "raw", encode = tostring,
                                               decode = tostring } }, "fetch-raw")
        assert.is_true(writer:set("key", "x"))
        cache:set("key", { 1 })
        assert.are.same({ 1 }, (cache:fetch("key", loader, { 2 })))
    end)

    it("raises what is wrong with its arguments, at the caller's line", function()
        local cache = caches.open({ stale_ttl = 5 })
        for _, case in ipairs({
            { "key must be a string, got nil", nil, loader },
            { "key must not be empty", "", loader },
            { 'key must not begin with "#tandem:", which is reserved, got "#tandem:x"', "#tandem:x",
              loader },
            { "loader must be a function, got nil", "key" },
            { "loader must be a function, got table", "key", {}, {} },
            { "opts must be a table or nil, got 5", "key", 5, loader },
            { 'unknown option opts.tll: did you mean "ttl"?', "key", { tll = 5 }, loader },
            { "opts.ttl must be >= 0, got -1", "key", { ttl = -1 }, loader },
            { "opts.jitter must be <= 1, got 2", "key", { jitter = 2 }, loader },
            { 'opts.refresh_ahead must be a number, got "x"', "key", { refresh_ahead = "x" },
              loader },
            { "opts.lock_timeout must be > 0, got 0", "key", { lock_timeout = 0 }, loader },
            { "opts.stale_ttl must not be more than the cache's, 5, got 6", "key",
              { stale_ttl = 6 }, loader },
            { 'unknown option opts.memory', "key", { memory = "1m" }, loader },
        }) do
            local ok, err = pcall(function()
                local value = cache:fetch(case[2], case[3], case[4])
                return value
            end)
            assert.is_false(ok)
            assert.is_truthy(err:find("fetch_spec.lua:%d+: "), err)
            assert.are.equal(case[1], err:match("^.-:%d+: (.*)$"))
        end
        assert.are.equal(0, loads)
        cache:close()
        local ok, err = pcall(cache.fetch, cache, "key", loader)
        assert.is_false(ok)
        assert.is_truthy(err:find("is closed", 1, true), err)
    end)

    -- -- Time ------------------------------------------------------------------------------------

    it("has a value past its TTL kept, whoever cleans up and whatever is written", function()
        local cache = caches.open({ stale_ttl = 100, ttl = 10 })
        cache:fetch("key", loader, "v")
        shift(11000)
        assert.are.equal(0, cache:cleanup_expired())
        for i = 1, 2000 do
            cache:set("other" .. i, "x", 0)
            cache:get("key")
        end
        assert.are.same(returns("v", nil, "stale"),
                        returns(cache:fetch("key", loader, nil, "bad")))
        shift(100000)
        assert.are.equal(1, cache:cleanup_expired())
    end)

    it("answers a value past its TTL when the loader fails, for stale_ttl", function()
        local cache = caches.open({ stale_ttl = 100, ttl = 10 })
        cache:fetch("key", loader, "v")
        shift(9000)
        assert.are.same(returns("v", nil, "memory"),
                        returns(cache:fetch("key", loader, nil, "bad")))
        shift(1500)
        assert.are.same(returns(nil, nil, nil), returns(cache:get("key")))
        assert.is_false(cache:exists("key"))
        assert.is_nil(cache:ttl("key"))
        assert.is_nil((cache:peek("key")))
        local ttl, _, value, tier = cache:peek("key", { stale = true })
        assert.is_true(ttl < 0 and ttl > -10, ttl)
        assert.are.same({ "v", "stale" }, { value, tier })
        assert.are.same(returns("v", nil, "stale"), returns(cache:fetch("key", loader, nil, "bad")))
        shift(98000)
        assert.are.same(returns("v", nil, "stale"), returns(cache:fetch("key", loader, nil, "bad")))
        shift(2000)
        assert.are.same(returns(nil, "bad", nil), returns(cache:fetch("key", loader, nil, "bad")))
        assert.are.equal(2, cache:stats().fetch.stale)
    end)

    it("makes it anew, here where there is no background", function()
        local cache = caches.open({ stale_ttl = 100, ttl = 10 })
        cache:fetch("key", loader, "v")
        shift(11000)
        assert.are.same(returns("w", nil, "loader"), returns(cache:fetch("key", loader, "w")))
        assert.are.same(returns("w", nil, "memory"), returns(cache:fetch("key", loader, "x")))
        assert.are.equal(1, cache:stats().fetch.refreshes)
        local left = cache:ttl("key")
        assert.is_true(left > 5 and left <= 10, left)
    end)

    it("makes it anew before its end, by the duration of loaders", function()
        local cache = caches.open({ ttl = 100, refresh_ahead = 1 })
        local function slow(value)
            loads = loads + 1
            shift(1000)
            return value
        end
        cache:fetch("key", slow, "first")
        -- Half the TTL before its end, fifty durations: e^-50.
        shift(50000)
        for _ = 1, 100 do
            assert.are.same(returns("first", nil, "memory"), returns(cache:fetch("key", slow, "x")))
        end
        -- A tenth of a duration before: nine in ten.
        shift(100000 - 50000 - 1000 + 900 - 1000 * loads + 1000)
        local value
        for _ = 1, 100 do
            value = cache:fetch("key", slow, "second")
            if value == "second" then
                break
            end
        end
        assert.are.equal("second", value)
        assert.are.equal(2, loads)
        assert.are.equal(1, cache:stats().fetch.refreshes)
        assert.is_true(cache:ttl("key") > 90)
    end)

    it("draws TTLs evenly with jitter, only shorter ones", function()
        local cache = caches.open({ jitter = 0.5, ttl = 1000 })
        local least, most, sum, n = 1000, 0, 0, 400
        for i = 1, n do
            cache:fetch("key" .. i, loader, "v")
            local left = cache:ttl("key" .. i)
            least, most, sum = math.min(least, left), math.max(most, left), sum + left
        end
        assert.is_true(least > 490 and least < 530, least)
        assert.is_true(most <= 1000 and most > 970, most)
        assert.is_true(math.abs(sum / n - 750) < 45, sum / n) -- 6 standard deviations
    end)

    -- -- Processes -------------------------------------------------------------------------------

    -- Runs fn in a child, whose exit status is what fn returns.
    local function child(fn)
        local pid = assert(unistd.fork())
        if pid == 0 then
            local ok, status = pcall(fn)
            ffi.C._exit(ok and status or 99)
        end
        return pid
    end

    ffi.cdef "void _exit(int);"

    local function status_of(pid)
        local _, _, status = require("posix.sys.wait").wait(pid)
        return status
    end

    it("loads once for many processes, and survives one that dies in its loader", function()
        local cache = caches.open({ lock_timeout = 60, hard_timeout = 60 })
        local first = child(function()
            cache:fetch("key", function()
                cache:set("loading", "1")
                while true do
                    run.nap(10)
                end
            end)
        end)
        run.wait_until("it loads", function() return cache:get("loading") end)
        local others = {}
        for i = 1, 4 do
            others[i] = child(function()
                local value, err, tier = cache:fetch("key", function()
                    cache:incr("loads", 1, 0)
                    run.nap(20)
                    return "value"
                end)
                return value == "value" and not err and (tier == "loader" and 1 or 0) or 9
            end)
        end
        run.wait_until("they wait", function() return cache:stats().fetch.joined == 4 end)
        require("posix.signal").kill(first, 9)
        status_of(first)
        local loaded = 0
        for _, pid in ipairs(others) do
            loaded = loaded + status_of(pid)
        end
        assert.are.equal(1, loaded)
        assert.are.equal("1", (cache:get("loads")))
    end)
end)
