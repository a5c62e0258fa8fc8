-- The paths of hits, in the segment and in the near table, are compiled, and stay so.

local nearby = require "spec.support.nearby"
local tandem = require "resty.tandem"
local traced = require "spec.support.traced"

-- Looked up here: busted makes globals a chain of functions, which the compiler may try to trace.
local assert, jit = assert, jit

local fresh = nearby.fresh
local hits_of = nearby.hits_of
local warm = nearby.warm
local without_near = nearby.without_near

local function contains(list, word)
    for _, item in ipairs(list) do
        if item == word then
            return true
        end
    end
    return false
end

describe("a hit in the segment", function()
    it("runs in a compiled loop, without an abort", function()
        assert.is_true((jit.status()))
        local cache = assert(tandem.new("unit-jit", { memory = "1m", near = false }))
        for i = 1, 8 do
            cache:set("key" .. i, "value" .. i)
        end
        cache:get("key1") -- looks up the C functions, which is done in the interpreter
        local keys = { "key1", "key2", "key3", "key4", "key5", "key6", "key7", "key8" }
        local hits = 0

        local aborts, links = traced(function()
            for i = 1, 20000 do
                local value, err, tier = cache:get(keys[i % 8 + 1])
                if value and not err and tier == "memory" then
                    hits = hits + 1
                end
            end
        end)

        assert.are.equal(20000, hits)
        assert.are.same({}, aborts)
        assert.is_true(contains(links, "loop"), table.concat(links, " "))
        for _, link in ipairs(links) do
            assert.are_not.equal("stitch", link)
            assert.are_not.equal("interp", link)
        end
        cache:close()
    end)

    it("is as compiled when it adds up", function()
        local cache = assert(tandem.new("unit-jit-incr", { memory = "1m" }))
        cache:incr("n", 1, 0, 60)
        local sum
        local aborts, links = traced(function()
            for _ = 1, 20000 do
                sum = cache:incr("n", 1, 0, 60)
            end
        end)
        assert.are.equal(20001, sum)
        assert.are.same({}, aborts)
        assert.is_true(contains(links, "loop"), table.concat(links, " "))
        cache:close()
    end)

    it("would be found out by this check if it were not", function()
        local aborts, links = traced(function()
            local threads = 0
            for _ = 1, 200 do
                threads = threads + (coroutine.running() and 1 or 0)
            end
        end)
        assert.is_true(#aborts > 0 or contains(links, "stitch"), table.concat(links, " "))
    end)
end)

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
        assert.is_truthy(contains(links, "loop"), table.concat(links, " "))
        assert.is_false(contains(links, "stitch") or contains(links, "interp"))
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
