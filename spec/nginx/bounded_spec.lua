-- Calls that go through a large cache let the event loop run in between: no turn of it takes longer
-- than 10 ms, counted in time that the worker's thread has run, so that what else a machine does is
-- not in it.

local nginx = require "spec.support.nginx"
local run = require "spec.support.run"

local ENTRIES = tonumber(os.getenv("TANDEM_ENTRIES")) or 1000000
local BOUND_MS = 10

local TITLE = "with %d entries, no turn of the event loop is longer than %d ms:"

describe(TITLE:format(ENTRIES, BOUND_MS), function()
    local web

    setup(function()
        web = nginx.start({
            workers = 1,
            init = ([[
                cache = assert(require("resty.tandem").new("large", { memory = "256m" }))
                local ffi = require "ffi"
                ffi.cdef "int clock_gettime(int clock, long now[2]);"
                local now = ffi.new "long[2]"
                local function cpu_ms() -- of this thread
                    ffi.C.clock_gettime(3, now)
                    return tonumber(now[0]) * 1e3 + tonumber(now[1]) / 1e6
                end
                function fill()
                    for i = 1, %d do
                        cache:set((i %% 2 == 0 and "even:" or "odd:") .. i, "value", 3600)
                    end
                    return cache:stats().entries
                end
                -- What fn returns, how many turns there were meanwhile, and the longest but one:
                -- the very longest may be the machine's, which stood still in it.
                function watch(fn)
                    local longest, second, turns, going = 0, 0, 0, true
                    local watcher = ngx.thread.spawn(function()
                        while going do
                            local began = cpu_ms()
                            ngx.sleep(0.001)
                            local took = cpu_ms() - began
                            second = math.max(second, math.min(longest, took))
                            longest = math.max(longest, took)
                            turns = turns + 1
                        end
                    end)
                    local ok, result = pcall(fn)
                    going = false
                    ngx.thread.wait(watcher)
                    return { result = result, turns = turns, longest = second }
                end
            ]]):format(ENTRIES),
        })
        assert.are.equal(tostring(ENTRIES), web:eval("return fill()", 60))
    end)
    teardown(run.cleanup)

    -- Making so many strings, and an array of them, is Lua's own affair: it doubles its table of
    -- strings, and marks an array, in one go.  That is 10 ms or 40, as caches have it; to go
    -- through all entries in one turn would be 300.
    local function of_lua_itself()
        return tonumber(web:eval(([[
            local seen = watch(function()
                local list = {}
                for i = 1, %d do
                    list[i] = "another:" .. i
                    if i %% 1000 == 0 then
                        ngx.sleep(0.001)
                    end
                end
            end)
            collectgarbage()
            return seen.longest
        ]]):format(ENTRIES), 60))
    end

    -- of_lua: what Lua itself takes for as many strings is in it, so many times.
    local function check(what, expected, code, of_lua)
        it(what, function()
            local bound = BOUND_MS + (of_lua and of_lua * of_lua_itself() or 0)
            local text = web:eval(("local seen = watch(function() %s end) "
                                   .. "return seen.result, seen.turns, seen.longest"):format(code),
                                  60)
            local result, turns, longest = text:match("^(%S+) (%S+) (%S+)$")
            assert.are.equal(tostring(expected), result, text)
            assert.is_true(tonumber(turns) > 1, text)
            if os.getenv("TANDEM_SAY") then
                print(("%s: %.1f ms of %.1f"):format(what, longest, bound))
            end
            assert.is_true(tonumber(longest) <= bound, longest .. " ms, more than " .. bound)
        end)
    end

    check("keys of a pattern", 1000, "return #cache:keys('even:*000')")
    check("scan", ENTRIES, "local n = 0 for _ in cache:scan() do n = n + 1 end return n", 2)
    check("keys", ENTRIES, "return #cache:keys()", 4)
    check("delete_by_pattern", ENTRIES / 2, "return cache:delete_by_pattern('odd:*')")
    it("(what is left expires)", function()
        assert.are.equal(tostring(ENTRIES / 2), web:eval([[
            local n = 0
            for key in cache:scan() do
                n = n + (cache:expire(key, 0.001) and 1 or 0)
            end
            return n
        ]], 60))
    end)
    check("cleanup_expired", ENTRIES / 2, "ngx.sleep(0.1) return cache:cleanup_expired()")
    it("(filled again)", function()
        assert.are.equal(tostring(ENTRIES), web:eval("return fill()", 60))
    end)
    check("clear", 0, "cache:clear() return cache:stats().entries")

    it("others' requests are answered while all keys are gone through", function()
        assert.are.equal(tostring(ENTRIES), web:eval("return fill()", 60))
        local walk = web:send_eval("local n = 0 for _ in cache:scan() do n = n + 1 end return n")
        local meanwhile = 0
        repeat
            local others = web:get("/plain")
            meanwhile = meanwhile + (walk:is_waiting() and 1 or 0)
        until others.status ~= 200 or not walk:is_waiting()
        assert.are.equal(tostring(ENTRIES), walk:wait(60).body)
        assert.is_true(meanwhile > 20, meanwhile .. " requests")
    end)
end)
