-- The path of a hit in the segment is compiled, and stays so.

local jutil = require "jit.util"
local vmdef = require "jit.vmdef"

local tandem = require "resty.tandem"

-- Looked up here: busted makes globals a chain of functions, which the compiler may try to trace.
local assert, jit, pcall, tostring = assert, jit, pcall, tostring

-- The compiler began elsewhere than in the loop, by chance of its counters, and tries again.
local FALSE_STARTS = { ["inner loop in root trace"] = true, ["leaving loop in root trace"] = true }

-- Runs fn with the compiler's events recorded: aborts, as sentences, and how traces ended.
local function traced(fn)
    local aborts, links = {}, {}
    local function on_trace(what, trace, func, pc, otherwise, extra)
        if what == "abort" then
            local where = jutil.funcinfo(func, pc)
            local reason = vmdef.traceerr[otherwise] or tostring(otherwise)
            if type(extra) == "number" then
                reason = reason:gsub("%%d", tostring(extra))
            elseif extra ~= nil then
                reason = reason:gsub("%%s", tostring(extra))
            end
            if not FALSE_STARTS[reason] then
                aborts[#aborts + 1] = (where.loc or "?") .. ": " .. reason
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
    return aborts, links
end

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
