-- Peers that answer what no healthy Redis would: each is a clear error in time, nothing crashes,
-- nothing is lost in memory, and a healthy one after it is used again.

local caches = require "spec.support.caches"
local peer = require "spec.support.peer"
local run = require "spec.support.run"
local show = require "spec.support.show"

-- More than any call here may take, whose time-outs are 0.2 s at most: on a busy machine, too.
local SOON = 3

-- Answers what is about the key "kept" as a healthy Redis without keys, and everything once
-- `healed` is there.
local FRAME = [[
    local function healthy(words)
        local file = io.open(arg[1] .. "/healed")
        if file then
            file:close()
        end
        return file or words[2] == "p:kept"
    end
    for words in c.command, c do
        if greet(words) then
            c:write(greet(words))
        elseif healthy(words) then
            c:write(empty(words))
        else
            %s
        end
    end
]]

local function answer(bytes)
    return ("c:write(%q)"):format(bytes)
end

-- name, what it does with a data command, what the error of a get has, and of a set ("not in
-- Redis": done in memory alone, for it was refused; "unknown": nobody knows).
local CASES = {
    { "an error", answer "-ERR something is wrong\r\n", "ERR something is wrong", "queued" },
    { "LOADING", answer "-LOADING Redis is loading\r\n", "LOADING", "queued" },
    { "READONLY", answer "-READONLY You can't write\r\n", "READONLY", "queued" },
    { "OOM", answer "-OOM command not allowed\r\n", "OOM", "queued" },
    { "WRONGTYPE", answer "-WRONGTYPE Operation\r\n", "WRONGTYPE", "queued" },
    { "MASTERDOWN", answer "-MASTERDOWN Link is down\r\n", "MASTERDOWN", "queued" },
    { "NOAUTH", answer "-NOAUTH Authentication required.\r\n", "NOAUTH", "queued" },
    { "an error of 100 KB", "c:write('-ERR ' .. ('x'):rep(100000) .. '\\r\\n')", "ERR xxx",
      "queued" },
    { "an error with control characters", answer "-ERR \1\2\27[31m\255\r\n", "ERR",
      "queued" },
    { "nothing", "", "127.0.0.1", "unknown" },
    { "garbage", answer "HTTP/1.1 400 Bad Request\r\n\r\n<html>\0\255", "127.0.0.1", "unknown" },
    { "random bytes", [[ c:write(("\200\13\10\0\36\45"):rep(500)) ]], "127.0.0.1", "unknown" },
    { "an end of the connection", "c:close() return", "127.0.0.1", "unknown" },
    { "a reset", "c:reset() return", "127.0.0.1", "unknown" },
    { "an end in mid-reply", [[ c:write("$100\r\nabc") c:close() return ]], "127.0.0.1",
      "unknown" },
    { "a reset in mid-reply", [[ c:write("$100\r\nabc") c:reset() return ]], "127.0.0.1",
      "unknown" },
    { "half a reply and no more", answer "$100\r\nabc", "127.0.0.1", "unknown" },
    { "an array", answer "*2\r\n$1\r\na\r\n$1\r\nb\r\n", "127.0.0.1", "unknown" },
    { "an empty array", answer "*0\r\n", "127.0.0.1", "unknown" },
    { "a deep array", [[ c:write(("*1\r\n"):rep(1000)) ]], "127.0.0.1", "unknown" },
    { "a status of its own", answer "+PONG\r\n", "127.0.0.1", "unknown" },
    { "a length that is no number", answer "$abc\r\n", "127.0.0.1", "unknown" },
    { "a negative length", answer "$-5\r\n", "127.0.0.1", "unknown" },
    { "a monstrous length", answer "$9223372036854775807\r\n", "127.0.0.1", "unknown" },
    { "a monstrous array", answer "*2147483647\r\n", "127.0.0.1", "unknown" },
    { "RESP3", answer "%1\r\n+a\r\n+b\r\n", "127.0.0.1", "unknown" },
    { "more than it was asked for", answer ((":1\r\n"):rep(50)), "127.0.0.1", "unknown" },
    { "a drip of a byte in 50 ms",
      "for i = 1, 6 do c:write(i == 1 and '$' or '1') c:pause(0.05) end c:close() return",
      "127.0.0.1", "unknown" },
}

describe("a peer that answers with", function()
    teardown(run.cleanup)

    local function heal(one)
        run.write_file(one.folder .. "/healed", "")
    end

    for _, case in ipairs(CASES) do
        local name, script, read_says, write_says = unpack(case)

        it(name, function()
            local one = peer.start(FRAME:format(script))
            local degrading = caches.open({ redis = one:url(), prefix = "p:", timeout = 0.1,
                                            connect_timeout = 0.2, tracking = false })
            local failing = caches.open({ redis = one:url(), prefix = "p:", timeout = 0.1,
                                          connect_timeout = 0.2, tracking = false,
                                          on_redis_error = "fail" })

            -- With a connection that is in order before each call, as far as that can be.
            local function fresh()
                for _, cache in ipairs({ degrading, failing }) do
                    run.wait_until("the peer is used", function()
                        return select(2, cache:set("kept", "value")) == nil
                           and select(3, cache:get("kept")) == "memory"
                    end)
                end
            end

            local function check_error(what, began, err)
                assert.is_true(run.now() - began < SOON, what .. " took too long")
                assert.is_string(err, what)
                assert.is_truthy(err:find("127.0.0.1:" .. one.port, 1, true), err)
                assert.is_true(#err < 256, what .. ": " .. err)
            end

            -- Does it to both, each on a connection of its own.
            local function both(what)
                fresh()
                what(degrading)
                what(failing)
            end

            both(function(cache)
                local began = run.now()
                local value, err, tier = cache:get("key")
                assert.are.equal("nil nil", show(value, tier))
                check_error("get", began, err)
                assert.is_truthy(err:find(read_says, 1, true), err)
                assert.are.equal("'value' nil 'memory'", show(cache:get("kept")))
            end)
            both(function(cache)
                local began = run.now()
                local value, err = cache:keys()
                assert.is_nil(value)
                check_error("keys", began, err)
            end)
            both(function(cache)
                local began = run.now()
                local values, some = cache:get_multi({ "kept", "x", "y" })
                assert.are.equal("{kept='value'}", show(values))
                check_error("get_multi", began, some)
            end)
            -- Under either policy nothing of these is done in memory alone.
            for method, argument in pairs({ add = "value", replace = "value", expire = 5,
                                            incr = 1 }) do
                both(function(cache)
                    local began = run.now()
                    local done, why = cache[method](cache, method, argument)
                    if name == "more than it was asked for" and type(argument) == "number" then
                        assert.is_truthy(done) -- the first of it is an answer
                    else
                        assert.is_nil(done, method)
                        check_error(method, began, why)
                    end
                    assert.are.equal("nil", show(cache:peek(method, { stale = true })))
                end)
            end
            both(function(cache)
                local began = run.now()
                local ok, note = cache:set("key", "value")
                check_error("set", began, note)
                if cache == failing then
                    assert.is_nil(ok)
                    assert.are.equal("'value' nil 'memory'", show(failing:get("kept")))
                else
                    assert.is_truthy(note:find(write_says, 1, true), note)
                    assert.are.equal(write_says == "queued" or nil, ok)
                    assert.are.equal(write_says == "queued" and "value" or nil,
                                     (degrading:get("key")))
                end
            end)
            fresh()
            local began = run.now()
            local ok, note = failing:clear()
            assert.is_nil(ok)
            check_error("clear", began, note)

            heal(one)
            for _, cache in ipairs({ degrading, failing }) do
                run.wait_until("the healthy peer is used",
                               function() return not select(2, cache:get("other")) end)
            end
            assert.are.equal("true", show(degrading:set("key", "value")))
            assert.are.equal(0, one:count("^failed"))
            one:stop()
        end)
    end
end)

describe("a peer that from the first byte", function()
    teardown(run.cleanup)

    for name, script in pairs({
        ["says nothing"] = peer.SILENT,
        ["speaks another protocol"] = peer.GARBAGE,
        ["hangs up"] = peer.HANGS_UP,
        ["refuses clients"] = [[ c:write("-ERR max number of clients reached\r\n") c:close() ]],
        ["is loading"] = [[ while c:command() do c:write("-LOADING Redis is loading\r\n") end ]],
        ["answers what nobody asked"] = [[ c:write("+OK\r\n+OK\r\n+OK\r\n") c:read() c:read() ]],
    }) do
        it(name .. ", is an error in time", function()
            local one = peer.start(script)
            local cache = caches.open({ redis = one:url(), timeout = 0.2, connect_timeout = 0.2 })
            local began = run.now()
            for i = 1, 20 do
                local value, err = cache:get("key" .. i)
                assert.is_nil(value)
                assert.is_truthy(err:find("127.0.0.1:" .. one.port, 1, true), err)
            end
            assert.is_true(run.now() - began < 2 * SOON)
            local ok, note = cache:set("key", "value")
            assert.is_true(ok)
            assert.is_truthy(note:find("^queued: "), note)
            assert.are.equal("value", (cache:get("key")))
            assert.are.equal("down", cache:stats().redis.state)
            -- It is not tried again without end.
            assert.is_true(one:count("^connection") < 30)
            one:stop()
        end)
    end
end)

describe("a peer that is slow", function()
    teardown(run.cleanup)

    it("but not too slow, is waited for, byte by byte", function()
        local one = peer.start(peer.greeting([[
            local bytes = words[1] == "GET" and "$5\r\nvalue\r\n" or ":-1\r\n"
            for i = 1, #bytes do
                c:write(bytes:sub(i, i))
                c:pause(0.01)
            end
        ]]))
        local cache = caches.open({ redis = one:url(), timeout = 5 })
        assert.are.equal("'value' nil 'redis'", show(cache:get("key")))
        one:stop()
    end)

    it("never has one key's answer taken for another's", function()
        local one = peer.start(peer.greeting([[
            math.randomseed(number)
            for _, each in ipairs(c:commands(words, 0.001)) do
                if math.random(20) == 1 then
                    c:pause(0.12 * math.random())
                end
                local key = each[2]:sub(3)
                c:write(each[1] == "GET" and "$" .. #key .. "\r\n" .. key .. "\r\n" or ":-1\r\n")
            end
        ]]))
        local cache = caches.open({ redis = one:url(), timeout = 0.1, prefix = "p:" })
        local right, wrong, late, rounds = 0, 0, 0, 0
        run.wait_until("some were right and some were late", function()
            rounds = rounds + 1
            local keys = {}
            for i = 1, 10 do
                keys[i] = "key " .. rounds .. " " .. ("x"):rep(i)
            end
            for key, value in pairs((cache:get_multi(keys))) do
                right = right + (key == value and 1 or 0)
                wrong = wrong + (key == value and 0 or 1)
            end
            local before = late
            late = cache:stats().redis.timeouts
            if late > before then
                run.nap(100) -- for the peer to have its say
            end
            return right >= 100 and late >= 10
        end, 20)
        assert.are.equal(0, wrong)
        one:stop()
    end)
end)
