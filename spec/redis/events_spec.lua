-- Listeners: told of everything, once, and unable to harm.

local caches = require "spec.support.caches"
local nginx = require "spec.support.nginx"
local redis = require "spec.support.redis"
local run = require "spec.support.run"
local tandem = require "resty.tandem"

local ALL = { "hit", "miss", "set", "delete", "clear", "cleanup", "eviction", "invalidate",
              "degraded", "recovered", "loader_error" }

-- What a cache tells, as lines.
local function listen(cache)
    local lines = {}
    for _, event in ipairs(ALL) do
        cache:on(event, function(...)
            local words = { event }
            for i = 1, select("#", ...) do
                words[i + 1] = tostring((select(i, ...)))
            end
            lines[#lines + 1] = table.concat(words, " ")
        end)
    end
    return lines
end

local function told(lines)
    local text = table.concat(lines, ", ")
    for i = #lines, 1, -1 do
        lines[i] = nil
    end
    return text
end

describe("listeners", function()
    after_each(run.cleanup)

    it("cost nothing where there are none: objects have the class's methods", function()
        local cache = caches.open()
        assert.is_nil(rawget(cache, "get"))
        cache:on("hit", function() end)
        assert.is_function(rawget(cache, "get"))
    end)

    it("are told of what calls do", function()
        local cache = caches.open()
        local lines = listen(cache)
        assert.is_nil(cache:get("a"))
        assert.are.equal("miss a", told(lines))
        assert.is_true(cache:set("a", "1"))
        assert.are.equal("1", (cache:get("a")))
        assert.are.equal("set a, hit a memory", told(lines))
        cache:add("a", "2")
        cache:replace("a", "3")
        cache:incr("n", 1, 0)
        cache:expire("a", 100)
        assert.are.equal("set a, set n, set a", told(lines))
        cache:set_multi({ b = "1" })
        local values = cache:get_multi({ "a", "b", "c", "a" })
        assert.are.equal("3", values.a)
        assert.are.equal("set b, hit a, hit b, miss c", told(lines))
        cache:delete_multi({ "a" })
        cache:delete("b")
        assert.are.equal("delete a, delete b", told(lines))
        cache:set("gone", "1", 0.001)
        run.nap(20)
        cache:cleanup_expired()
        cache:delete_by_pattern("x*")
        cache:clear()
        assert.are.equal("set gone, cleanup 1, clear x*, clear nil", told(lines))
    end)

    it("are told of fetches and of loaders that fail", function()
        local cache = caches.open()
        local lines = listen(cache)
        assert.are.equal("made", (cache:fetch("a", function() return "made" end)))
        assert.are.equal("made", (cache:fetch("a", function() return "made" end)))
        assert.are.equal("miss a, hit a memory", told(lines))
        local value, err = cache:fetch("b", nil, function() return nil, "the backend is away" end)
        assert.are.equal("nil the backend is away", tostring(value) .. " " .. err)
        assert.are.equal("loader_error b the backend is away, miss b", told(lines))
        cache:fetch("c", function() error({}) end)
        assert.truthy(told(lines):find("^loader_error c .*raised.*, miss c$"))
    end)

    it("are those of all objects of the cache in this Lua VM", function()
        local cache = caches.open(nil, "shared-by-two")
        local before = tandem.new("shared-by-two", { memory = "2m", tracking = false })
        local lines = listen(cache)
        local after = tandem.new("shared-by-two", { memory = "2m", tracking = false })
        before:set("a", "1")
        after:set("b", "1")
        assert.are.equal("set a, set b", told(lines))
        before:close()
        after:close()
    end)

    it("are told of evictions", function()
        local cache = caches.open({ memory = "1m" })
        local count = 0
        cache:on("eviction", function(n) count = count + n end)
        run.wait_until("evictions are told", function()
            for i = 1, 1000 do
                cache:set("key" .. i, ("x"):rep(5000))
            end
            return count > 0
        end)
        assert.is_true(count <= cache:stats().memory.evictions)
    end)

    it("can fail, and use the cache, without harm", function()
        local logged = {}
        tandem.set_logger(function(level, line) logged[#logged + 1] = level .. " " .. line end)
        finally(function() tandem.set_logger(nil) end)
        local cache = caches.open(nil, "failing")
        local reached = 0
        cache:on("set", function() error("oops") end)
        cache:on("set", function()
            error(setmetatable({}, { __tostring = function() error("no text") end }))
        end)
        cache:on("set", function() reached = reached + 1 end)
        cache:on("set", function(key)
            if key == "a" then
                cache:set("b", "1")
            end
        end)
        for _ = 1, 10 do
            assert.is_true(cache:set("a", "1"))
        end
        assert.are.equal("1", (cache:get("b")))
        assert.are.equal(20, reached)
        -- One line a second, and not the twenty.
        assert.is_true(#logged >= 1 and #logged < 10, #logged)
        local expected = '^error cache "failing": a listener of "set" has failed: .*oops'
        assert.truthy(logged[1]:find(expected), logged[1])
    end)

    it("are told, and calls answered, though the application's logger fails", function()
        tandem.set_logger(function() error("disk full") end)
        finally(function() tandem.set_logger(nil) end)
        local cache = caches.open(nil, "unlogged")
        local reached = 0
        cache:on("set", function() error("oops") end)
        cache:on("set", function() reached = reached + 1 end)
        assert.is_true(cache:set("a", "1"))
        assert.are.equal(1, reached)
    end)

    it("that make no sense are refused", function()
        local cache = caches.open()
        assert.has_error(function() cache:on("hits", print) end)
        assert.has_error(function() cache:on("hit", "print") end)
        assert.has_error(function() cache:on(nil, print) end)
    end)

    it("are told that Redis has changed something, went away, and came back", function()
        local server = redis.start()
        local cache = caches.on(server, { max_stale = 10, timeout = 2 })
        local lines = listen(cache)
        local seen = {}
        local function await(event)
            run.wait_until(event .. " is told", function()
                cache:get("some key")
                for _, line in ipairs(lines) do
                    seen[line:match("^%S+")] = true
                end
                told(lines)
                run.nap(5)
                return seen[event]
            end, 30)
        end
        cache:set("a", "1")
        server:call("SET", cache.name .. ":a", "2")
        await("invalidate")
        assert.is_nil(seen.degraded)
        server:kill()
        await("degraded")
        assert.is_nil(seen.recovered)
        server:restart()
        await("recovered")
    end)
end)

describe("listeners in nginx", function()
    teardown(run.cleanup)

    it("that were added in init are told in every worker, by timers too", function()
        local web = nginx.start({
            workers = 2,
            init = [[
                cache = assert(require("resty.tandem").new("listened", { memory = "1m" }))
                told = {}
                for _, event in ipairs { "hit", "miss", "set", "eviction" } do
                    cache:on(event, function() told[event] = (told[event] or 0) + 1 end)
                end
            ]],
        })
        for _, worker in ipairs(web:workers()) do
            assert.are.equal("1 1 1", web:eval_in(worker, [[
                told = {}
                cache:get("none" .. ngx.worker.pid())
                cache:set("key", "value")
                cache:get("key")
                return told.hit, told.miss, told.set
            ]]))
        end
        web:eval("for i = 1, 3000 do cache:set('key' .. i, ('x'):rep(5000)) end")
        for _, worker in ipairs(web:workers()) do -- also the one that has done nothing meanwhile
            run.wait_until("evictions are told by a timer", function()
                return web:eval_in(worker, "return told.eviction ~= nil") == "true"
            end)
        end
    end)
end)
