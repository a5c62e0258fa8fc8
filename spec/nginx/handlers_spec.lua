-- A cache in the handlers of a real nginx with two workers.

local http = require "spec.support.http"
local nginx = require "spec.support.nginx"
local redis = require "spec.support.redis"
local run = require "spec.support.run"

describe("in nginx", function()
    local server

    setup(function() server = redis.start() end)
    teardown(run.cleanup)
    after_each(function() server:mend() end)
    before_each(function() server:call("FLUSHALL") end)

    -- Lua that opens the global `cache`.
    local function opening(options)
        return ([[cache = assert(require("resty.tandem").new("web",
            { memory = "4m", redis = %q, prefix = "p:", tracking = false, timeout = 5, %s }))]])
            :format(server:url(), options or "")
    end

    local function ended(web, expected)
        web:quit()
        assert.are.same({}, web:problems(expected))
    end

    describe("opened in init_by_lua, a cache", function()
        local web

        setup(function()
            web = nginx.start({ http = "lua_shared_dict counters 1m;", init = opening()
                .. [[ small = assert(require("resty.tandem").new("small", { memory = "1m" }))]] })
        end)
        teardown(function() ended(web) end)
        before_each(function() web:eval("cache:clear() small:clear()") end)

        it("is shared by the workers", function()
            local one, two = unpack(web:workers())
            assert.are.equal("true", web:eval_in(one, "return cache:set('key', 'value', 60)"))
            assert.are.equal("value", server:call("GET", "p:key"))
            local monitor = server:monitor()
            assert.are.equal("'value' nil 'memory'", web:eval_in(two, "return cache:get('key')"))
            assert.are.equal("true", web:eval_in(two, "return cache:exists('key')"))
            assert.are.same({}, monitor:lines())
            assert.are.equal("true", web:eval_in(two, "return cache:delete('key')"))
            assert.are.equal("nil nil nil", web:eval_in(one, "return cache:get('key')"))
            assert.are.equal("false", web:eval_in(one, "return cache:delete('key')"))
        end)

        it("brings what is in Redis to memory for all workers", function()
            server:call("SET", "p:theirs", "value", "PX", "60000")
            local one, two = unpack(web:workers())
            local code = "return cache:get('theirs')"
            assert.are.equal("'value' nil 'redis'", web:eval_in(one, code))
            assert.are.equal("'value' nil 'memory'", web:eval_in(two, code))
            local left = tonumber(web:eval_in(two, "return cache:ttl('theirs')"))
            assert.is_true(left > 50 and left <= 60.01)
        end)

        it("has all methods, with the results of plain LuaJIT", function()
            assert.are.equal("true nil", web:eval("return cache:set_multi({ a = '1', b = '2' })"))
            server:call("SET", "p:c", "3")
            assert.are.equal("{a='1', c='3'}",
                             web:eval("return cache:get_multi({ 'a', 'c', 'x' })"))
            assert.are.equal("{a=true, x=false}",
                             web:eval("return cache:exists_multi({ 'a', 'x' })"))
            assert.are.equal("{'a', 'b', 'c'}",
                             web:eval("local k = cache:keys() table.sort(k) return k"))
            assert.are.equal("1 nil", web:eval("return cache:delete_multi({ 'a', 'x' })"))
            assert.are.equal("1", web:eval("return cache:delete_by_pattern('b*')"))
            assert.are.equal("0 'up'", web:eval(
                "cache:delete('c') local s = cache:stats() return s.entries, s.redis.state"))
            assert.are.equal("0", web:eval("return cache:cleanup_expired()"))
            assert.are.equal("true", web:eval("return cache:clear()"))
            local raised = web:eval("return pcall(cache.get, cache, {})")
            assert.is_truthy(raised:find("^false '.*key must be a string, got table"), raised)
        end)

        it("is one of several in this nginx", function()
            web:eval("small:set('key', 'small') cache:set('key', 'large')")
            assert.are.equal("'small' 'large'",
                             web:eval("return (small:get('key')), (cache:get('key'))"))
            assert.are.equal("true", web:eval("return small:clear()"))
            assert.are.equal("'large' nil 'memory'", web:eval("return cache:get('key')"))
            assert.are.equal("nil nil nil", web:eval("return small:get('key')"))
        end)

        it("is the same one for whoever opens it again, and another identity raises", function()
            assert.are.equal("'value'", web:eval(([[
                cache:set("key", "value")
                local again = require("resty.tandem").new("web",
                    { memory = "4m", redis = %q, prefix = "p:" })
                local value = again:get("key")
                again:close()
                return value]]):format(server:url())))
            for option, opts in pairs({
                memory = "{ memory = '8m', redis = URL, prefix = 'p:' }",
                prefix = "{ memory = '4m', redis = URL, prefix = 'q:' }",
                codec = "{ memory = '4m', redis = URL, prefix = 'p:', codec = 'json' }",
                redis = "{ memory = '4m', redis = URL .. '/1', prefix = 'p:' }",
                path = "{ memory = '4m', redis = URL, prefix = 'p:', path = '/dev/shm/x' }",
            }) do
                local answer = web:eval(("local URL = %q local ok, err = pcall(require('resty."
                    .. "tandem').new, 'web', %s) return ok, err"):format(server:url(), opts))
                assert.is_truthy(answer:find("^false '.*" .. option), answer)
            end
        end)

        it("answers 50 requests that wait at once, each its own value", function()
            for i = 1, 50 do
                server:call("SET", "p:key" .. i, "value" .. i)
            end
            server:call("SET", "p:same", "value")
            -- All of them have called get before Redis says a word.
            local function all_at_once(uri_key)
                server:freeze()
                web:eval("ngx.shared.counters:set('waiting', 0)")
                local waiting = {}
                for i = 1, 50 do
                    waiting[i] = web:send_eval(([[
                        ngx.shared.counters:incr("waiting", 1)
                        return cache:get(%q)]]):format(uri_key(i)))
                end
                run.wait_until("all wait", function()
                    return web:eval("return ngx.shared.counters:get('waiting')") == "50"
                end)
                server:thaw()
                return http.finish(waiting, 10)
            end
            for i, request in ipairs(all_at_once(function(i) return "key" .. i end)) do
                assert.are.equal(200, request.status, request.err)
                assert.are.equal(("'value%d' nil 'redis'"):format(i), request.body)
            end
            for _, request in ipairs(all_at_once(function() return "same" end)) do
                assert.are.equal("'value' nil 'redis'", request.body)
            end
        end)

        it("lets light threads of one request wait at the same time", function()
            for i = 1, 20 do
                server:call("SET", "p:key" .. i, "value" .. i)
            end
            assert.are.equal("20", web:eval([[
                local threads, right = {}, 0
                for i = 1, 20 do
                    threads[i] = ngx.thread.spawn(function() return cache:get("key" .. i) end)
                end
                for i = 1, 20 do
                    local ok, value, err, tier = ngx.thread.wait(threads[i])
                    right = right + (ok and value == "value" .. i and tier == "redis" and 1 or 0)
                end
                return right]]))
        end)

        it("asks Redis once for all that is read in one turn of the event loop", function()
            local function reads()
                return tonumber(server:call("INFO", "stats"):match("total_reads_processed:(%d+)"))
            end
            local one = web:workers()[1]
            assert.are.equal("nil nil nil", web:eval_in(one, "return cache:get('absent')"))
            local before = reads()
            assert.are.equal("100", web:eval_in(one, [[
                local threads, absent = {}, 0
                for i = 1, 100 do
                    threads[i] = ngx.thread.spawn(cache.get, cache, "absent" .. i)
                    local began = os.clock()
                    repeat until i % 20 > 0 or os.clock() > began + 0.005
                end
                for i = 1, 100 do
                    local ok, value, err = ngx.thread.wait(threads[i])
                    assert(ok and value == nil and err == nil, err)
                    absent = absent + 1
                end
                return absent
            ]]))
            local asked = reads() - before - 1 -- the question itself
            assert.is_true(asked >= 1 and asked <= 2, asked .. " times")
        end)

        it("adds up what all requests of all workers count, in both tiers and in memory", function()
            local waiting = {}
            for i = 1, 60 do
                waiting[i] = web:send_eval([[
                    local threads, first = {}, 0
                    for i = 1, 10 do
                        threads[i] = ngx.thread.spawn(function()
                            assert(cache:incr("n", 1, 0, 60))
                            assert(small:incr("n", 1, 0, 60))
                            assert(small:touch("n"))
                            return cache:add("name" .. i, "x"), small:add("name" .. i, "x")
                        end)
                    end
                    for i = 1, 10 do
                        local ok, one, two = ngx.thread.wait(threads[i])
                        assert(ok, one)
                        first = first + (one and 1 or 0) + (two and 100 or 0)
                    end
                    return first]])
            end
            local firsts = 0
            for _, request in ipairs(http.finish(waiting, 20)) do
                assert.are.equal(200, request.status, request.body or request.err)
                firsts = firsts + tonumber(request.body)
            end
            assert.are.equal(1010, firsts)
            assert.are.equal("600 600", web:eval("return cache:incr('n', 0), small:incr('n', 0)"))
            assert.are.equal("600", server:call("GET", "p:n"))
            local left = server:call("PTTL", "p:n")
            assert.is_true(left > 30000 and left <= 60000)
            assert.are.equal("0", web:eval("return small:ttl('n')"))
        end)

        it("goes on when a worker is killed", function()
            web:eval("cache:set('kept', 'value')")
            for _, pid in ipairs(web:workers()) do
                web:kill_worker(pid)
                assert.are.equal("'value' nil 'memory'", web:eval("return cache:get('kept')"))
                assert.are.equal("true", web:eval("return cache:set('other', 'value')"))
            end
            for _, line in ipairs(web:problems()) do
                assert.is_truthy(line:find("exited on signal 9", 1, true), line)
            end
            run.write_file(web.folder .. "/error.log", "")
        end)
    end)

    describe("where the code cannot yield", function()
        local web

        setup(function()
            local folder = run.temp_dir()
            run.write_file(folder .. "/asks_at_top_level.lua", [[
                local value, err = cache:get("cold")
                return { value = value, err = err, hot = cache:get("hot"),
                         set = { cache:set("from the top level", "value") } }
            ]])
            web = nginx.start({ workers = 1, init = opening() .. ([[
                package.path = package.path .. ";%s/?.lua"]]):format(folder) })
        end)
        teardown(function() ended(web) end)

        local function check(code)
            web:eval("cache:clear() cache:set('hot', 'value')")
            server:call("SET", "p:cold", "value")
            local answer = web:eval(code)
            assert.is_truthy(answer:find("^nil '.*cannot yield.*' 'value' true 'queued: .*yield"),
                             answer)
            -- And waiting goes on to work as it should, for this request and for others.
            assert.are.equal("nil nil nil", web:eval("return cache:get('absent')"))
            assert.are.equal("3", web:eval([[
                local threads = {}
                for i = 1, 3 do
                    threads[i] = ngx.thread.spawn(function() return cache:get("none" .. i) end)
                end
                local n = 0
                for i = 1, 3 do
                    local ok, value, err = ngx.thread.wait(threads[i])
                    n = n + (ok and value == nil and err == nil and 1 or 0)
                end
                return n]]))
        end

        it("as in a sort comparator, memory answers and the rest is an error", function()
            check([[
                local value, err, hot, set, note
                table.sort({ 2, 1 }, function(a, b)
                    value, err = cache:get("cold")
                    hot = cache:get("hot")
                    set, note = cache:set("from a comparator", "value")
                    return a < b
                end)
                return value, err, hot, set, note]])
            run.wait_until("the queued write has arrived",
                           function() return server:call("GET", "p:from a comparator") end)
        end)

        it("as in a callback of gsub", function()
            check([[
                local value, err, hot, set, note
                string.gsub("x", "x", function()
                    value, err = cache:get("cold")
                    hot = cache:get("hot")
                    set, note = cache:set("from gsub", "value")
                end)
                return value, err, hot, set, note]])
        end)

        it("as at the top level of a module", function()
            check([[
                local m = require "asks_at_top_level"
                return m.value, m.err, m.hot, m.set[1], m.set[2] ]])
        end)
    end)

    it("workers that open a cache first meet in a file, which the last one removes", function()
        local web = nginx.start({ init_worker = opening()
            .. [[ small = assert(require("resty.tandem").new("small", { memory = "1m" }))]] })
        local one, two = unpack(web:workers())
        web:eval_in(one, "small:set('key', 'value') cache:set('key', 'value')")
        assert.are.equal("'value' nil 'memory'", web:eval_in(two, "return small:get('key')"))
        assert.are.equal("'value' nil 'memory'", web:eval_in(two, "return cache:get('key')"))
        local files = 0
        for _, path in ipairs(web:leftovers()) do
            files = files + (path:find("nginx-" .. web.process.pid .. "-", 1, true) and 1 or 0)
        end
        assert.are.equal(2, files)

        -- A worker that takes the place of a killed one finds it, and a reload's workers, too.
        web:kill_worker(one)
        for _, pid in ipairs(web:workers()) do
            assert.are.equal("'value' nil 'memory'", web:eval_in(pid, "return small:get('key')"))
        end
        web:await_end(web:reload())
        assert.are.equal("'value' nil 'memory'", web:eval("return small:get('key')"))

        ended(web, { "exited on signal 9" })
        -- But for the socket of the worker that was given no chance.
        for _, path in ipairs(web:leftovers()) do
            local known = path:find("/tandem%-%d+$") or path:find("bell-" .. one .. "-", 1, true)
            assert.is_truthy(known, "left behind: " .. path)
        end
    end)

    it("two nginxes do not meet", function()
        local options = ("runtime_dir = %q"):format(run.temp_dir())
        local one = nginx.start({ workers = 1, init_worker = opening(options) })
        local two = nginx.start({ workers = 1, init_worker = opening(options) })
        one:eval("cache:set('key', 'value')")
        assert.are.equal("'value' nil 'redis'", two:eval("return cache:get('key')"))
        ended(one)
        ended(two)
    end)

    it("a cache opened in a handler is shared by the workers, too", function()
        local web = nginx.start({})
        local one, two = unpack(web:workers())
        web:eval_in(one, opening():gsub("^cache", "_G.cache") .. " cache:set('key', 'value')")
        assert.are.equal("'value' nil 'memory'", web:eval_in(two,
            opening():gsub("^cache", "local cache") .. " return cache:get('key')"))
        ended(web, { "writing a global" })
    end)

    it("workers of user nobody work as well", function()
        for _, where in ipairs({ "init", "init_worker" }) do
            local web = nginx.start({ user = "nobody", [where] = opening() })
            local one, two = unpack(web:workers())
            server:call("SET", "p:theirs", "value")
            web:eval_in(one, "cache:clear() cache:set('key', 'value')")
            server:call("SET", "p:theirs", "value")
            assert.are.equal("'value' nil 'memory'", web:eval_in(two, "return cache:get('key')"))
            assert.are.equal("'value' nil 'redis'", web:eval_in(two, "return cache:get('theirs')"))
            ended(web)
        end
    end)

    describe("with lua_code_cache off", function()
        local web

        setup(function()
            web = nginx.start({ code_cache = false, init = opening() })
        end)
        teardown(function()
            ended(web, { "lua_code_cache is off" })
        end)

        it("all the same works, with waiting requests side by side", function()
            assert.are.equal("true", web:eval("return cache:set('key', 'value')"))
            assert.are.equal("'value' nil 'memory'", web:eval("return cache:get('key')"))
            for i = 1, 40 do
                server:call("SET", "p:key" .. i, "value" .. i)
            end
            for round = 1, 3 do
                local requests = {}
                for i = 1, 40 do
                    requests[i] = web:send_eval(("assert(select('#', cache:delete('gone%d')) == 1)"
                        .. " return cache:get('key%d')"):format(i, i))
                end
                http.finish(requests, 20)
                local tier = round == 1 and "redis" or "memory"
                for i = 1, 40 do
                    assert.are.equal(("'value%d' nil '%s'"):format(i, tier), requests[i].body,
                                     requests[i].err)
                    assert.is_true(requests[i].seconds < 10)
                end
            end
        end)

        it("does not grow by the request", function()
            local function spend(n)
                for _ = 1, n / 20 do
                    for _, request in ipairs(http.many(web, 20, "/eval",
                            { body = "return cache:get('absent')" })) do
                        assert.are.equal("nil nil nil", request.body, request.err)
                    end
                end
            end
            local function fds()
                local sum = 0
                for _, pid in ipairs(web:workers()) do
                    sum = sum + run.fds_of(pid)
                end
                return sum
            end
            spend(60)
            local before = fds()
            spend(140)
            run.wait_until("the descriptors are what they were", function()
                return fds() <= before
            end)
        end)
    end)
end)
