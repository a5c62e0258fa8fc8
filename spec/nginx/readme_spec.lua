--- The README's promises that can be run: its nginx.conf, its script, its examples, its tables.

local printed = require "spec.support.printed"
local published = require "spec.support.published"
local redis = require "spec.support.redis"
local run = require "spec.support.run"
local secrets = require "spec.support.secrets"

local readme = run.read_file("README.md")

-- The code blocks of a language, in order.
local function blocks(language, text)
    local list = {}
    for block in (text or readme):gmatch("\n```" .. language .. "\n(.-)\n```\n") do
        list[#list + 1] = block .. "\n"
    end
    return list
end

local function section(title)
    local from = assert(readme:find("\n" .. title .. "\n", 1, true), title)
    local level = title:match("^#+")
    return readme:sub(from, (readme:find("\n" .. level .. " ", from + 2, true) or 0) - 1)
end

local replace_one = published.replace_one

describe("the README", function()
    local server

    setup(function()
        server = redis.start()
    end)

    teardown(function()
        run.cleanup()
    end)

    before_each(function()
        server:call("FLUSHALL")
    end)

    local function curl(port, path)
        return (run.run({ "curl", "-s", "-m", "10", "http://127.0.0.1:" .. port .. path }))
    end

    -- The nginx.conf as it stands there, but for ports, and with the folders of this source tree.
    local function start_nginx(folder)
        local port = redis.free_port()
        local conf = blocks("nginx")[1]
        conf = replace_one(conf, "127.0.0.1:8080", "127.0.0.1:" .. port)
        conf = replace_one(conf, "redis://127.0.0.1:6379/0", server:url(0))
        local paths = ('http {\n    lua_package_path "%s/lua/?.lua;;";\n'
                       .. '    lua_package_cpath "%s/build/?.so;;";\n')
                      :format(run.root, run.root)
        conf = replace_one(conf, "http {\n", paths)
        local nginx = published.start(folder, conf)
        run.wait_until("nginx answers", function()
            assert(nginx:alive(), run.read_file(folder .. "/output"))
            return curl(port, "/none"):find("404", 1, true)
        end)
        return nginx, port
    end

    it("has an nginx.conf that works, with Redis and without", function()
        local nginx, port = start_nginx(run.temp_dir())
        local made = curl(port, "/date")
        local date = made:match("^(.* GMT) %(made%)\n$")
        assert.is_truthy(date, made)
        -- Until each worker that takes part has a link, Redis may be asked once more.
        run.wait_until("memory answers 20 times in a row, whichever worker it is", function()
            for _ = 1, 20 do
                local answer = curl(port, "/date")
                assert.is_truthy(answer == date .. " (memory)\n" or answer == date .. " (redis)\n",
                                 answer)
                if answer:find("redis", 1, true) then
                    return false
                end
            end
            return true
        end)
        assert.equal(date, server:call("GET", "pages:date"))
        local ttl = server:call("TTL", "pages:date")
        assert.is_true(ttl > 50 and ttl <= 60)
        server:call("SET", "pages:date", "of another program")
        run.wait_until("what another program has written is seen", function()
            return curl(port, "/date"):find("^of another program %(")
        end)
        assert.equal("true\n", curl(port, "/forget"))
        assert.equal("false\n", curl(port, "/forget"))

        server:freeze()
        assert.is_truthy(curl(port, "/date"):find(" (made)\n", 1, true))
        server:thaw()
        run.wait_until("both tiers are used again", function()
            curl(port, "/forget")
            return curl(port, "/date"):find(" (made)\n", 1, true)
                and server:call("EXISTS", "pages:date") == 1
        end)
        nginx:signal("QUIT")
        assert.equal("exited", (nginx:wait()))
    end)

    local function run_plain(script, folder, url)
        local output, status = run.run({ run.luajit, script }, { env = {
            LUA_PATH = run.root .. "/lua/?.lua;;", LUA_CPATH = run.root .. "/build/?.so;;",
            CACHE_FILE = folder .. "/cache", REDIS_URL = url,
        } })
        assert.equal(0, status, output)
        return output
    end

    it("has a script that works, with Redis and without", function()
        local script = blocks("lua")[1]
        assert.equal(run.read_file("examples/plain.lua"), script)
        local folder = run.temp_dir()
        run.write_file(folder .. "/plain.lua", script)

        local first = run_plain(folder .. "/plain.lua", folder, server:url())
        assert.is_truthy(first:find("^in neither tier\nstored\tnil\n42\t[56]%d seconds left\n$"),
                         first)
        local second = run_plain(folder .. "/plain.lua", folder, server:url())
        local tier = second:match("^found in (%l+)\n42\t[56]%d seconds left\n$")
        assert.is_true(tier == "memory" or tier == "redis", second)
        assert.equal("42", server:call("GET", "plain-example:answer"))

        local nobody = "redis://127.0.0.1:" .. redis.free_port()
        local other = run.temp_dir()
        local alone = run_plain(folder .. "/plain.lua", other, nobody)
        assert.is_truthy(alone:find("^Redis cannot be asked: redis 127.0.0.1:%d+/0: "), alone)
        assert.is_truthy(alone:find("\nstored\tqueued: ", 1, true), alone)
        assert.is_truthy(alone:find("\n42\t"), alone)
    end)

    it("has examples that print what they say", function()
        local expected = {}
        local parts = {
            'cache = assert(require("resty.tandem").new("readme", { redis = "' .. server:url()
                .. '" }))\n',
        }
        for _, block in ipairs(blocks("lua", section("## Methods"))) do
            for text in block:gmatch("%-%-> ([^\n]*)") do
                expected[#expected + 1] = text
            end
            parts[#parts + 1] = block
        end
        assert.is_true(#parts > 15)
        local lines, globals = printed(table.concat(parts), "README.md")
        globals.cache:close()
        assert.same(expected, lines)
    end)

    -- The command of the answer that makes a user.
    local function command_for_user()
        local command = assert(blocks("sh", section("## Questions"))[1])
        command = replace_one(command, "'>secret'", "'>" .. secrets.WORD .. "'")
        return replace_one(command, "redis-cli ", "redis-cli -p " .. server.port .. " ")
    end

    it("has a user for Redis who may do what is needed, tracking included", function()
        local command = command_for_user()
        assert.equal("OK\n", (run.run({ "sh", "-c", command })))

        local tandem = require "resty.tandem"
        local said = {}
        tandem.set_logger(function(_, message) said[#said + 1] = message end)
        local url = "redis://pages:s3cret@127.0.0.1:" .. server.port .. "/1"
        local real = assert(tandem.new("pages", {
            redis = { url = url, client_name = "one" }, memory = "2m", max_stale = 0.5,
            lock = "redis",
        }))
        local called = { open = true, invalidate_tag = true } -- of tags: below
        local cache = setmetatable({}, { __index = function(_, name)
            called[name] = true
            return function(_, ...)
                return real[name](real, ...)
            end
        end })
        assert.is_true(cache:on("miss", function() end))
        run.wait_until("tracking is on", function()
            cache:get("key")
            return cache:stats().tracking.state == "on"
        end)
        assert.is_true(cache:set("key", "value"))
        assert.is_true(cache:delete("key"))
        assert.is_false(cache:delete("key"))
        assert.is_true(cache:set_multi({ a = "1", b = "2" }))
        assert.is_false(cache:exists("no such key"))
        assert.is_nil(cache:ttl("no such key"))
        assert.equal(2, #cache:keys())
        assert.same({ a = "1", b = "2" }, (cache:get_multi({ "a", "b", "none" })))
        assert.same({ a = true, none = false }, (cache:exists_multi({ "a", "none" })))
        assert.equal(1, cache:delete_multi({ "b", "none" }))
        assert.is_true(cache:touch("a"))
        assert.is_nil(cache:peek("none"))
        assert.equal("number", type(cache:cleanup_expired()))
        assert.same({ f = "made f" }, (cache:fetch_multi({ "f" }, function()
            return { f = "made f" }
        end)))
        assert.is_true(cache:add("c", "1", 60))
        assert.is_true(cache:replace("c", "1"))
        assert.equal(2, cache:incr("c"))
        assert.equal(2.5, cache:incr("c", 0.5))
        assert.equal(1, cache:incr("d", 1, 0, 60))
        assert.is_true(cache:expire("d", 100))
        assert.is_true(cache:expire("d", 0))
        assert.equal("made", (cache:fetch("made", function() return "made" end)))
        assert.same({ nil, "why" }, { cache:fetch("failed", function() return nil, "why" end) })
        assert.equal(3, cache:stats().fetch.fleet_taken + cache:stats().fetch.fleet_locks)
        for key, err in cache:scan() do
            assert.is_truthy(key, err)
        end
        assert.equal(1, cache:delete_by_pattern("a"))
        assert.is_true(cache:clear())
        run.wait_until("all of it is answered", function()
            return cache:stats().tracking.verifies >= 3
        end)
        cache:get("key") -- in order, so what is before it has been answered
        local stats = cache:stats()
        cache:close()
        for name in pairs(require("resty.tandem.cache")) do
            assert.is_true(called[name], "is not tried: " .. name)
        end
        tandem.set_logger(nil)
        assert.same({}, said)
        assert.equal(0, stats.redis.errors)
        assert.is_nil(stats.tracking.trouble)
    end)

    it("says which rights tags need besides", function()
        local command = command_for_user()
        local more = assert(section("## Questions"):match("With `tags = true` also `([^`]*)`"))
        assert.equal("OK\n", (run.run({ "sh", "-c", command:gsub("%s*$", " ") .. more })))
        local cache = assert(require("resty.tandem").new("pages-tagged", {
            redis = "redis://pages:s3cret@127.0.0.1:" .. server.port, prefix = "pages:",
            memory = "2m", tags = true,
        }))
        assert.is_true(cache:set("key", "value", 60, { tags = { "a" } }))
        assert.is_true(cache:set("untagged", "value"))
        assert.is_true(cache:add("added", "1", 60))
        assert.is_true(cache:replace("added", "2"))
        assert.equal(3, cache:incr("added"))
        assert.equal(1.5, cache:incr("counted", 1.5, 0, 60))
        assert.is_true(cache:expire("added", 0))
        assert.is_true(cache:exists("key"))
        assert.is_true(cache:invalidate_tag("a"))
        assert.is_nil((cache:get("key")))
        assert.is_true(cache:delete("added"))
        assert.equal(1, cache:delete_by_pattern("un*"))
        assert.is_true(cache:clear())
        assert.equal(0, cache:stats().redis.errors)
        cache:close()
    end)

    it("has a phase table that is the library's", function()
        local text, row = section("## Where it may be called"), nil
        for phases in text:gmatch("\n| ([%w_, ]+) | yes | yes, never") do
            row = phases
        end
        local listed = {}
        for phase in row:gmatch("[%w_]+") do
            listed[phase] = "wait"
        end
        listed.init = "none"
        local known = require "resty.tandem.host.phases"
        assert.same(known, listed)
        local rest = text:match("\n| (init_worker[%w_, ]+), any other |")
        for phase in rest:gmatch("[%w_]+") do
            assert.is_nil(known[phase])
        end
    end)
end)
