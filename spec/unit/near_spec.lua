-- The near table: what a Lua VM keeps of what it has read, and when that counts.

local ffi = require "ffi"
local jutil = require "jit.util"
local vmdef = require "jit.vmdef"

local options = require "resty.tandem.options"
local tandem = require "resty.tandem"

-- Looked up here: busted makes globals a chain of functions, which the compiler may try to trace.
local assert, jit, pcall, tostring = assert, jit, pcall, tostring

local C = require("resty.tandem.lib").C

local KB, MB = 1024, 1024 * 1024

-- Anonymous segments, one for each name: a fresh name is a fresh cache.
local count = 0
local function fresh(opts)
    count = count + 1
    opts = opts or {}
    opts.memory = opts.memory or "2m"
    return assert(tandem.new("near-" .. count, opts))
end

local function without_near(cache, opts)
    opts = opts or {}
    opts.memory = opts.memory or "2m"
    opts.near = false
    return assert(tandem.new(cache.name, opts))
end

-- Gets a key so often that from now on the near table answers.
local function warm(cache, key)
    for _ = 1, 3 do
        cache:get(key)
    end
end

-- Sets new keys that are asked for again after a while, so that the policy does not just let them
-- pass.  Of 300 bytes, so that it is the bytes that run out.  also: called after each.
local function pass_through(cache, from, to, also)
    for i = from, to do
        cache:set("passing" .. i, ("x"):rep(300))
        cache:get("passing" .. i - 100)
        if also then
            also(i)
        end
    end
end

-- What fn adds to the counts of near hits and of hits in the segment.
local function hits_of(cache, fn)
    local before = cache:stats().memory
    fn()
    local after = cache:stats().memory
    return after.near_hits - before.near_hits, after.hits - before.hits
end

describe("a near table", function()
    it("answers from the third get on, and every hit is counted once", function()
        local cache = fresh()
        cache:set("key", "value")
        for i, near_hits in ipairs({ 0, 0, 1, 2, 3 }) do
            local value, err, tier = cache:get("key")
            assert.are.same({ "value", nil, "memory" }, { value, err, tier })
            local stats = cache:stats()
            assert.are.equal(near_hits, stats.memory.near_hits)
            assert.are.equal(i, stats.hits)
        end
        assert.are.equal(0, cache:stats().misses)
    end)

    it("takes nothing in at the first hit", function()
        local cache = fresh()
        for i = 1, 1000 do
            cache:set("key" .. i, "value")
            cache:get("key" .. i)
        end
        assert.are.equal(0, cache.near.size)
    end)

    -- Two that share a place in the table of what was hit once must not take it from each other
    -- for ever.
    it("takes in every key of a loop", function()
        local cache = fresh({ memory = "64m" })
        local function loop(times)
            for _ = 1, times do
                for i = 1, 5000 do
                    cache:get("key" .. i)
                end
            end
        end
        for i = 1, 5000 do
            for _ = 0, i % 7 do -- so that versions differ
                cache:set("key" .. i, "value")
            end
        end
        loop(50)
        assert.are.equal(5000, (hits_of(cache, function() loop(1) end)))
    end)

    it("can be turned off", function()
        local cache = fresh({ near = false })
        cache:set("key", "value")
        assert.are.equal(0, (hits_of(cache, function()
            for _ = 1, 10 do
                assert.are.equal("value", (cache:get("key")))
            end
        end)))
    end)

    it("has values of any bytes, the empty one among them", function()
        local cache = fresh()
        for _, value in ipairs({ "", "\0", "\255\0\1", ("x"):rep(20000) }) do
            local key = "\0" .. #value
            cache:set(key, value)
            warm(cache, key)
            local near_hits = hits_of(cache, function()
                assert.are.equal(value, (cache:get(key)))
            end)
            assert.are.equal(1, near_hits)
        end
    end)

    it("never answers for a key that is not there", function()
        local cache = fresh()
        assert.are.equal(0, (hits_of(cache, function()
            for _ = 1, 5 do
                assert.is_nil((cache:get("absent")))
            end
        end)))
    end)

    it("leaves to others what is no key", function()
        local cache = fresh()
        for _, key in ipairs({ 1, true, {}, "", "#tandem:x" }) do
            assert.is_false((pcall(cache.get, cache, key)))
        end
        assert.is_false((pcall(cache.get, cache)))
        assert.is_false((pcall(cache.get, cache, 0 / 0)))
    end)

    it("is asked by exists and by get_multi, which fills it too", function()
        local cache = fresh()
        cache:set_multi({ a = "1", b = "2" })
        for _ = 1, 2 do
            assert.are.same({ a = "1", b = "2" }, (cache:get_multi({ "a", "b", "c" })))
        end
        local near_hits, segment_hits = hits_of(cache, function()
            assert.are.same({ a = "1", b = "2" }, (cache:get_multi({ "a", "c", "b", "a" })))
            assert.is_true(cache:exists("a"))
            assert.are.equal("2", (cache:get("b")))
        end)
        assert.are.same({ 4, 0 }, { near_hits, segment_hits })
    end)
end)

describe("a near table believes nothing that", function()
    local cache, other

    -- changed: what makes it another value, or none.
    local function check(changed, value)
        cache = fresh()
        other = without_near(cache)
        cache:set("key", "old")
        warm(cache, "key")
        assert.are.equal(1, (hits_of(cache, function() cache:get("key") end)))
        changed()
        local near_hits = hits_of(cache, function()
            assert.are.equal(value, (cache:get("key")))
        end)
        assert.are.equal(0, near_hits)
        if value then
            cache:get("key")
            assert.are.equal(1, (hits_of(cache, function()
                assert.are.equal(value, (cache:get("key")))
            end)))
        end
    end

    it("was set since", function()
        check(function() other:set("key", "new") end, "new")
        check(function() cache:set("key", "new") end, "new")
        check(function() other:set("key", ("new"):rep(100)) end, ("new"):rep(100))
        check(function() other:set_multi({ key = "new" }) end, "new")
    end)

    it("was set to the same value", function()
        check(function() other:set("key", "old") end, "old")
    end)

    it("was deleted, or deleted and set", function()
        check(function() other:delete("key") end, nil)
        check(function() other:delete_multi({ "key" }) end, nil)
        check(function() other:delete_by_pattern("k*") end, nil)
        check(function()
            other:delete("key")
            other:set("key", "new")
        end, "new")
    end)

    it("was cleared", function()
        check(function() other:clear() end, nil)
        check(function()
            other:clear()
            other:set("key", "new")
        end, "new")
    end)

    it("was dropped with all others, before its space is freed", function()
        cache = fresh({ memory = "256m" })
        for i = 1, 2000 do
            cache:set("key" .. i, "value")
            warm(cache, "key" .. i)
        end
        local cursor, result = ffi.new "double[1]", ffi.new "tandem_result"
        assert.are.equal(C.TANDEM_MORE, C.tandem_remove(cache.handle, cursor, nil, 0, result))
        local entries = cache:stats().entries
        assert.is_true(entries > 0)
        for i = 1, 2000 do
            assert.is_nil((cache:get("key" .. i)))
        end
        assert.are.equal(entries, cache:stats().entries)
    end)

    it("was evicted", function()
        check(function()
            pass_through(other, 1, 30000)
        end, nil)
    end)

    it("has expired, to the millisecond of the coarse clock", function()
        cache = fresh()
        cache:set("key", "value", 1)
        warm(cache, "key")
        C.tandem_clock_shift(900)
        assert.are.equal(1, (hits_of(cache, function() cache:get("key") end)))
        C.tandem_clock_shift(200)
        local near_hits = hits_of(cache, function() assert.is_nil((cache:get("key"))) end)
        C.tandem_clock_shift(-1100)
        assert.are.equal(0, near_hits)
    end)

    it("belongs to a cache that was closed", function()
        cache = fresh()
        cache:set("key", "value")
        warm(cache, "key")
        cache:close()
        assert.is_false((pcall(cache.get, cache, "key")))
        local again = assert(tandem.new(cache.name, { memory = "2m" }))
        assert.is_nil((again:get("key")))
    end)
end)

describe("objects on one cache", function()
    it("share a near table, if they have the same limits", function()
        local one = fresh()
        local two = assert(tandem.new(one.name, { memory = "2m" }))
        local three = assert(tandem.new(one.name, { memory = "2m", near = { entries = 5 } }))
        one:set("key", "value")
        warm(one, "key")
        one:close()
        assert.are.equal(1, (hits_of(two, function() two:get("key") end)))
        assert.are.equal(0, (hits_of(three, function() three:get("key") end)))
        assert.are.equal(5, three.near.max_entries)
    end)
end)

describe("with a codec", function()
    it("the value is kept as Lua has it, the same table each time", function()
        local cache = fresh({ codec = "json" })
        cache:set("key", { 1, 2 })
        warm(cache, "key")
        local value = cache:get("key")
        assert.are.same({ 1, 2 }, value)
        assert.are.equal(value, (cache:get("key")))
        cache:set("key", { 3 })
        assert.are.same({ 3 }, (cache:get("key")))
    end)

    it("false is a value", function()
        local cache = fresh({ codec = "json" })
        cache:set("key", false)
        warm(cache, "key")
        local near_hits = hits_of(cache, function()
            local value, err, tier = cache:get("key")
            assert.are.same({ false, nil, "memory" }, { value, err, tier })
        end)
        assert.are.equal(1, near_hits)
    end)

    it("what cannot be decoded is an error each time, and is not kept", function()
        local codec = { name = "picky", encode = tostring,
                        decode = function() return nil, "no" end }
        local cache = fresh({ codec = codec })
        cache:set("key", "value")
        for _ = 1, 5 do
            local value, err = cache:get("key")
            assert.is_nil(value)
            assert.is_truthy(err:find("no", 1, true))
        end
        assert.are.equal(0, cache.near.size)
    end)

    it("one that closes the cache while it decodes does no harm", function()
        local cache
        cache = fresh({ codec = { name = "closing", encode = tostring, decode = function(bytes)
            if cache.handle and cache.ready then
                cache:close()
            end
            return bytes
        end } })
        cache:set("key", "value")
        cache:get("key")
        cache.ready = true
        assert.are.equal("value", (cache:get("key")))
        assert.is_false((pcall(cache.get, cache, "key")))
    end)
end)

describe("bounds", function()
    it("hold under a million keys, and memory stays flat", function()
        local cache = fresh({ near = { entries = 1000, bytes = "1m" } })
        local near = cache.near
        local most_bytes, after_some = 0, nil
        for i = 1, 1000000 do
            local key = "key" .. i
            cache:set(key, "value")
            cache:get(key)
            cache:get(key)
            if near.bytes > most_bytes then
                most_bytes = near.bytes
            end
            if i == 100000 then
                collectgarbage()
                after_some = collectgarbage("count")
            end
        end
        collectgarbage()
        assert.are.equal(1000, near.size)
        assert.is_true(most_bytes <= MB)
        -- LuaJIT's own table of strings, with those that were garbage, may have doubled.
        local growth = collectgarbage("count") - after_some
        assert.is_true(growth < 2000, growth .. " KB more")
    end)

    it("in bytes hold for values of all sizes", function()
        local cache = fresh({ memory = "64m", near = { entries = 10000, bytes = "1m" } })
        local near = cache.near
        math.randomseed(7)
        for i = 1, 20000 do
            local key = "key" .. math.random(2000)
            if i % 3 == 0 then
                cache:set(key, ("v"):rep(2 ^ math.random(0, 17)))
            end
            cache:get(key)
            assert.is_true(near.bytes <= MB)
        end
        assert.is_true(near.bytes > MB / 4)
        local bytes, entries = 0, 0
        for _, i in pairs(near.map) do
            bytes, entries = bytes + near.charged[i], entries + 1
        end
        assert.are.equal(bytes, near.bytes)
        assert.are.equal(near.size - near.spares, entries)
    end)

    it("leave out a value of more than a sixteenth of the bytes", function()
        local cache = fresh({ memory = "64m", near = { bytes = "64k" } })
        for length, near_hits in pairs({ [4 * KB] = 5, [4 * KB + 1] = 0 }) do
            cache:set("key", ("x"):rep(length))
            assert.are.equal(near_hits, (hits_of(cache, function()
                for _ = 1, 7 do
                    cache:get("key")
                end
            end)))
        end
    end)

    it("may be one entry", function()
        local cache = fresh({ near = { entries = 1 } })
        cache:set_multi({ a = "1", b = "2" })
        for _ = 1, 20 do
            assert.are.equal("1", (cache:get("a")))
            assert.are.equal("2", (cache:get("b")))
        end
        assert.are.equal(1, cache.near.size)
    end)

    it("have defaults", function()
        local checked = options.check("name", {})
        assert.are.same({ entries = 10000, bytes = 16 * MB }, checked.near)
    end)
end)

describe("keys that are in use", function()
    it("stay in the near table when ten times as many others pass through it", function()
        local cache = fresh({ memory = "16m", near = { entries = 1000, bytes = "16m" } })
        for i = 1, 100 do
            cache:set("hot" .. i, "value")
            warm(cache, "hot" .. i)
        end
        for i = 1, 10000 do
            cache:set("scan" .. i, "value")
            cache:get("scan" .. i)
            cache:get("scan" .. i)
            cache:get("hot" .. i % 100 + 1)
        end
        local near_hits = hits_of(cache, function()
            for i = 1, 100 do
                cache:get("hot" .. i)
            end
        end)
        assert.are.equal(100, near_hits)
    end)

    -- A hit that the segment does not see must count there, or the hottest keys would go first.
    it("stay in the segment when ten times what it holds passes through that", function()
        local cache = fresh({ memory = "1m" })
        local other = without_near(cache, { memory = "1m" })
        local function left(prefix)
            local n = 0
            for i = 1, 100 do
                n = n + (other:exists(prefix .. i) and 1 or 0)
            end
            return n
        end

        pass_through(other, 1, 10000)
        assert.is_true(cache:stats().entries < 3000)
        for i = 1, 100 do
            for _, key in ipairs({ "hot" .. i, "cold" .. i }) do
                cache:set(key, ("h"):rep(300))
                warm(cache, key)
            end
            for j = 1, i do
                cache:get("hot" .. j)
            end
        end
        pass_through(other, 10001, 40000, function(i)
            for j = 1, 100, 10 do
                cache:get("hot" .. (i + j) % 100 + 1)
            end
        end)
        assert.are.equal(0, left("cold"))
        assert.are.equal(100, left("hot"))
    end)
end)

-- -- What the compiler makes of it ---------------------------------------------------------------

-- The compiler began elsewhere than in the loop, by chance of its counters, and tries again.
local FALSE_STARTS = { ["inner loop in root trace"] = true, ["leaving loop in root trace"] = true }

-- Runs fn with the compiler's events recorded: aborts, as sentences, and how traces ended.
local function traced(fn)
    local aborts, links = {}, {}
    local function on_trace(what, trace, func, pc, otherwise, extra)
        if what == "abort" then
            local reason = vmdef.traceerr[otherwise] or tostring(otherwise)
            if not FALSE_STARTS[reason] then
                aborts[#aborts + 1] = (jutil.funcinfo(func, pc).loc or "?") .. ": " .. reason
                                      .. " " .. tostring(extra)
            end
        elseif what == "stop" then
            links[#links + 1] = jutil.traceinfo(trace).linktype
        end
    end
    jit.flush()
    jit.attach(on_trace, "trace")
    local ok, err = pcall(fn)
    jit.attach(on_trace)
    assert(ok, err)
    return aborts, table.concat(links, " ")
end

describe("a near hit", function()
    local function check_compiled(opts, value)
        assert.is_true((jit.status()))
        local cache = fresh(opts)
        local keys, hits = {}, 0
        for i = 1, 8 do
            keys[i] = "key" .. i
            cache:set(keys[i], value)
            warm(cache, keys[i])
        end
        local aborts, links
        local near_hits = hits_of(cache, function()
            aborts, links = traced(function()
                for i = 1, 20000 do
                    local got, err, tier = cache:get(keys[i % 8 + 1])
                    if got and not err and tier == "memory" then
                        hits = hits + 1
                    end
                end
            end)
        end)
        assert.are.equal(20000, hits)
        assert.are.equal(20000, near_hits)
        assert.are.same({}, aborts)
        assert.is_truthy(links:find("loop"), links)
        assert.is_falsy(links:find("stitch") or links:find("interp"), links)
    end

    it("is compiled, without an abort", function()
        check_compiled({}, "value")
    end)

    it("is compiled with a codec, too", function()
        check_compiled({ codec = "json" }, { 1, 2 })
    end)

    it("allocates nothing", function()
        local cache = fresh()
        cache:set("key", "value")
        warm(cache, "key")
        local function loop()
            for _ = 1, 20000 do
                cache:get("key")
            end
        end
        loop()
        collectgarbage()
        collectgarbage("stop")
        local least = math.huge
        for _ = 1, 5 do -- in one or another the compiler may be at work
            local before = collectgarbage("count")
            loop()
            least = math.min(least, math.abs(collectgarbage("count") - before))
        end
        collectgarbage("restart")
        -- The first hit of a loop may not be the compiler's; 20000 would be hundreds of KB.
        assert.is_true(least < 1, least .. " KB")
    end)

    it("sees a change in the middle of a compiled loop", function()
        local cache = fresh()
        local other = without_near(cache)
        cache:set("key", "old")
        warm(cache, "key")
        local old, new = 0, 0
        for i = 1, 20000 do
            if i == 15000 then
                other:set("key", "new")
            end
            if cache:get("key") == "old" then
                old = old + 1
            else
                new = new + 1
            end
        end
        assert.are.same({ 14999, 5001 }, { old, new })
    end)
end)
