-- Requests and light threads that end while they wait for Redis: ten thousand of them leave nothing
-- behind, and wake nobody who waits for something else.

local http = require "spec.support.http"
local nginx = require "spec.support.nginx"
local redis = require "spec.support.redis"
local run = require "spec.support.run"

local ROUNDS, EACH = 50, 100 -- of clients that go away, and of threads that are killed
local GROWTH_KB = 2048

describe("what ends while it waits", function()
    local server, web, worker

    setup(function()
        server = redis.start()
        web = nginx.start({
            workers = 1,
            init = ([[cache = assert(require("resty.tandem").new("web", { redis = %q, prefix = "p:",
                memory = "2m", tracking = false, timeout = 20 }))
                entered = 0]]):format(server:url()),
            server = "lua_check_client_abort on;",
            locations = {
                ["/slow"] = [[
                    entered = entered + 1
                    local key = "key" .. ngx.var.arg_n
                    if entered % 3 == 0 then
                        ngx.print((cache:get_multi({ key, "absent" }))[key])
                    else
                        ngx.print((cache:get(key)))
                    end
                ]],
                ["/pending"] = [[
                    ngx.print(require("resty.tandem.lib").C.tandem_pending(
                        require("resty.tandem.host").mailbox()))
                ]],
            },
        })
        worker = web:workers()[1]
        for i = 1, EACH + 10 do
            server:call("SET", "p:key" .. i, "value" .. i, "PX", "1")
        end
    end)
    after_each(function() server:mend() end)
    teardown(function()
        assert.are.same({ worker }, web:workers())
        web:quit()
        assert.are.same({}, web:problems())
        run.cleanup()
    end)

    local function none_pending()
        run.wait_until("nothing is pending", function()
            return web:get("/pending").body == "0"
        end)
    end

    -- Memory of its own, of which the segment is no part, and open files.
    local function footprint()
        web:eval("collectgarbage() collectgarbage()")
        return { kb = run.private_memory_of(worker), fds = run.fds_of(worker) }
    end

    local function no_growth(before)
        local after = footprint()
        assert.is_true(after.kb - before.kb < GROWTH_KB, before.kb .. " KB, then " .. after.kb)
        run.wait_until("there are no more open files than before",
                       function() return footprint().fds <= before.fds end)
    end

    -- The values of what the rounds ask for: never in memory, always in Redis.
    local function put(n, round)
        local client = server:connect()
        for i = 1, n do
            client:call("SET", "p:key" .. round .. "." .. i, "value" .. i)
        end
        client:close()
    end

    -- One round: clients that go away, among them some that stay and must get their own values,
    -- not before Redis has said them.
    local function abort_round(round)
        put(10, round)
        server:freeze()
        web:eval("entered = 0")
        local staying, going = {}, {}
        for i = 1, EACH do
            going[i] = http.send(web, "/slow?n=gone" .. round .. "." .. i)
            if i % 10 == 0 then
                staying[i / 10] = http.send(web, "/slow?n=" .. round .. "." .. i / 10)
            end
        end
        run.wait_until("all wait", function()
            return web:eval("return entered") == tostring(EACH + 10)
        end)
        for _, request in ipairs(going) do
            request:abort()
        end
        for _, request in ipairs(staying) do
            assert.is_true(request:is_waiting())
        end
        server:thaw()
        http.finish(staying, 10)
        for i, request in ipairs(staying) do
            assert.are.equal(200, request.status, request.err)
            assert.are.equal("value" .. i, request.body)
        end
    end

    it("clients that go away, 5000 of them", function()
        for round = 1, 5 do
            abort_round("warm" .. round)
        end
        none_pending()
        local before = footprint()
        for round = 1, ROUNDS do
            abort_round(round)
        end
        none_pending()
        no_growth(before)
    end)

    -- In one request: light threads that are killed while they wait, among them some that are not.
    local KILLS = [[
        local round, each = ...
        local killed, waiting = {}, {}
        for i = 1, each do
            killed[i] = ngx.thread.spawn(function()
                if i % 3 == 0 then
                    return cache:set("set" .. i, "value")
                elseif i % 3 == 1 then
                    return cache:get("gone" .. round .. "." .. i)
                end
                return cache:get_multi({ "gone" .. round .. "." .. i, "gone" })
            end)
            if i % 10 == 0 then
                waiting[i / 10] = ngx.thread.spawn(function()
                    return cache:get("key" .. round .. "." .. i / 10)
                end)
            end
        end
        for i = 1, each do
            assert(ngx.thread.kill(killed[i]))
        end
        for i = 1, #waiting do
            local ok, value, err = ngx.thread.wait(waiting[i])
            if not ok or value ~= "value" .. i then
                return "wrong", i, value, err
            end
        end
        return "right"
    ]]

    local function kill_round(round)
        put(10, "k" .. round)
        assert.are.equal("'right'", web:eval(("local function f(...) %s end return f(%q, %d)")
            :format(KILLS, "k" .. round, EACH)))
    end

    it("light threads that are killed, 5000 of them", function()
        for round = 1, 5 do
            kill_round("warm" .. round)
        end
        none_pending()
        local before = footprint()
        for round = 1, ROUNDS do
            kill_round(round)
        end
        none_pending()
        no_growth(before)
    end)

    it("writes of killed threads take place all the same", function()
        web:eval([[
            local thread = ngx.thread.spawn(function() cache:set("killed", "value") end)
            ngx.thread.kill(thread)]])
        run.wait_until("the write has arrived",
                       function() return server:call("GET", "p:killed") == "value" end)
        none_pending()
    end)

    it("a thread that is killed does not take another's turn on its semaphore", function()
        -- Many short lives one after the other reuse what waiting needs.
        for round = 1, 20 do
            put(10, "r" .. round)
            assert.are.equal("'right'", web:eval(([[
                for i = 1, 10 do
                    local thread = ngx.thread.spawn(function() return cache:get("none") end)
                    ngx.thread.kill(thread)
                    local value, err = cache:get("key" .. %q .. i)
                    if value ~= "value" .. i then
                        return "wrong", i, value, err
                    end
                end
                return "right"]]):format("r" .. round .. ".")))
        end
        none_pending()
    end)
end)
