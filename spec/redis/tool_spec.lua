-- The command line tool, as people run it: on caches that are in use by other processes.

local caches = require "spec.support.caches"
local json = require "cjson"
local nginx = require "spec.support.nginx"
local redis = require "spec.support.redis"
local run = require "spec.support.run"

local NASTY = 'a\n"<b>\27[31m\255'
local SHOWN = 'a\\n"<b>\\x1b[31m\\xff'

-- What the tool says and its exit status.  Without LUA_PATH; what it complains of comes with it.
local function tandem(...)
    return run.run({ run.root .. "/bin/tandem", ... },
                   { env = { LUA_PATH = false, LUA_CPATH = false, TANDEM_LIBRARY = false } })
end

-- The same on a terminal of so many columns.
local function on_terminal(columns, words)
    local command = ("stty cols %d; %s/bin/tandem %s"):format(columns, run.root, words)
    return (run.run({ "script", "-qec", command, "/dev/null" },
                    { env = { LUA_PATH = false, LUA_CPATH = false, TERM = "xterm" } }))
end

describe("the tool, on a cache in a file,", function()
    local cache, path

    before_each(function()
        path = run.temp_dir() .. "/segment"
        cache = caches.open({ path = path, memory = "4m" }, "file")
        for i = 1, 300 do
            cache:set("user:" .. i, "value " .. i, i % 2 == 0 and 1000 or 0)
        end
        cache:set(NASTY, "\0\27[0m\255")
    end)
    after_each(run.cleanup)

    it("says what has been counted, and counts nothing itself", function()
        cache:get("user:1")
        cache:get("nothing")
        local before = cache:stats()
        local text, status = tandem("stat", path, "--json")
        assert.are.equal(0, status, text)
        local stats = json.decode(text)
        assert.are.equal(301, stats.memory.entries)
        assert.are.equal(before.memory.sets, stats.memory.sets)
        assert.are.equal(1, stats.hits)
        assert.are.equal(1, stats.misses)
        tandem("get", path, "user:2")
        tandem("keys", path)
        assert.are.equal(before.hits, cache:stats().hits)
        text = tandem("stat", path)
        assert.truthy(text:find("50.0 %% of 2 lookups"), text)
    end)

    it("goes on looking, with what happens a second", function()
        local text, status = tandem("stat", path, "--watch", "--count", "3", "--interval", "0.05",
                                    "--json")
        assert.are.equal(0, status, text)
        assert.are.equal(3, select(2, text:gsub("\n", "\n")))
        text = tandem("stat", path, "--watch", "--count=2", "--interval=0.05")
        assert.truthy(text:find("lookups/s", 1, true), text)
    end)

    it("lists keys that match", function()
        local text = tandem("keys", path, "user:29?")
        local keys = {}
        for key in text:gmatch("[^\n]+") do
            keys[#keys + 1] = key
        end
        table.sort(keys)
        assert.are.equal(10, #keys)
        assert.are.equal("user:290", keys[1])
        assert.are.equal(5, select(2, tandem("keys", path, "--limit", "5"):gsub("\n", "\n")))
    end)

    it("shows bytes that a terminal would obey, and takes them back", function()
        assert.are.equal(SHOWN .. "\n", (tandem("keys", path, "a*")))
        assert.are.equal("\0\27[0m\255", (tandem("get", path, SHOWN)))
        local object = json.decode((tandem("get", path, SHOWN, "--json")))
        assert.are.equal("ABtbMG3/", (object.value_base64:gsub("%s", "")))
        assert.is_nil(object.key)
        assert.are.equal("fresh", object.state)
        local text, status = tandem("get", path, "a\\q")
        assert.are.equal("2 tandem: the key: not an escape: \\q\n", status .. " " .. text)
    end)

    it("says how long a key has left", function()
        local text, status = tandem("ttl", path, "user:2")
        assert.are.equal(0, status)
        assert.is_true(tonumber(text) > 900 and tonumber(text) <= 1000, text)
        assert.are.equal("0.000\n", (tandem("ttl", path, "user:1")))
        text, status = tandem("ttl", path, "nothing")
        assert.are.equal("1 tandem: no such key\n", status .. " " .. text)
    end)

    it("deletes a key, which all processes see at once", function()
        assert.are.equal("value 7", cache:get("user:7"))
        assert.are.equal("value 7", cache:get("user:7")) -- from the near table now
        local text, status = tandem("delete", path, "user:7")
        assert.are.equal("0 ", status .. " " .. text)
        assert.is_nil(cache:get("user:7"))
        text, status = tandem("delete", path, "user:7")
        assert.are.equal("1 tandem: it was not in memory\n", status .. " " .. text)
    end)

    it("clears, when it is sure", function()
        local text, status = tandem("clear", path)
        assert.are.equal(2, status, text)
        assert.truthy(text:find("give --yes", 1, true), text)
        assert.are.equal(301, cache:stats().entries)
        text, status = tandem("clear", path, "--yes")
        assert.are.equal("0 tandem: 301 entries removed from memory\n", status .. " " .. text)
        assert.are.equal(0, cache:stats().entries)
    end)

    it("verifies a sound segment, and finds damage in one that is not", function()
        local text, status = tandem("verify", path)
        assert.are.equal(0, status, text)
        assert.truthy(text:find("301 entries", 1, true), text)
        -- A copy of the file in which keys have turned into others.
        local broken = path .. ".broken"
        run.write_file(broken, (run.read_file(path):gsub("user:", "\85\85\85\85\85")))
        text, status = tandem("verify", broken, "--json")
        assert.are.equal(1, status, text)
        local found = json.decode(text)
        assert.is_false(found.sound)
        assert.is_true(found.damaged > 0)
        assert.truthy(found.first:find("^%S+ %d+: "), found.first)
        for _, command in ipairs { "stat", "keys" } do -- and live with it
            text, status = tandem(command, broken)
            assert.are.equal(0, status, text)
        end
    end)

    it("finds out what is read most", function()
        local tool = run.start({ run.root .. "/bin/tandem", "top", path, "--json", "--seconds", "1",
                                 "--limit", "2" },
                               { pipe = true, env = { LUA_PATH = false, LUA_CPATH = false } })
        while tool:alive() do
            cache:get("user:17")
            run.nap(1)
        end
        local found = json.decode(tool:read_all())
        assert.are.equal("user:17", found.keys[1].key)
        assert.is_true(found.keys[1].looks > 0)
        assert.are.equal("user:", found.prefixes[1].key)
        assert.are.equal("value 17", cache:get("user:17"))
    end)

    it("keeps to a narrow terminal, with no colour where none is wanted", function()
        local text = on_terminal(40, "stat " .. path)
        for line in text:gmatch("[^\r\n]+") do
            local visible = line:gsub("\27%[%d*m", "")
            assert.is_true(#visible <= 40, visible)
        end
        assert.truthy(text:find("\27[1m", 1, true))
        text = on_terminal(80, "get " .. path .. " '" .. SHOWN .. "'")
        assert.falsy(text:find("\27", 1, true), text) -- those of the value are shown, not obeyed
        text = run.run({ "script", "-qec", "NO_COLOR=1 " .. run.root .. "/bin/tandem stat " .. path,
                         "/dev/null" }, { env = { LUA_PATH = false, LUA_CPATH = false } })
        assert.falsy(text:find("\27", 1, true), text)
    end)

    it("ends without a word when nobody reads any more", function()
        local command = run.root .. "/bin/tandem keys " .. path .. " | true; echo ${PIPESTATUS[0]}"
        local text = run.run({ "bash", "-c", "for i in 1 2 3; do " .. command .. "; done" },
                             { env = { LUA_PATH = false, LUA_CPATH = false } })
        for status in text:gmatch("[^\n]+") do
            assert.truthy(status == "0" or status == "141", text)
        end
    end)

    it("refuses what makes no sense, and what is no segment", function()
        for _, case in ipairs {
            { 2, "no such command: frob", "frob" },
            { 2, "no such command: frob", "frob", "--help" },
            { 2, "no such command: frob", "help", "frob" },
            { 2, "get needs SEGMENT KEY", "get", path },
            { 2, "stat takes no extra", "stat", path, "extra" },
            { 2, "unknown option --frob", "stat", path, "--frob" },
            { 2, "stat takes no --limit", "stat", path, "--limit", "3" },
            { 2, "--limit needs a whole number above 0, got 0", "keys", path, "--limit", "0" },
            { 2, "--interval needs a number of seconds", "stat", path, "--interval" },
            { 2, "stat takes no \\x1b[31mred", "stat", path, "\27[31mred" },
            { 2, "--json takes no value", "stat", path, "--json=1" },
            { 2, "the key: it must have 1 to 4096 bytes", "get", path, "" },
            { 2, "warm needs --redis", "warm", path },
            { 3, "this cache has no Redis", "warm", path, "--redis", "redis://127.0.0.1:1" },
            { 3, "no cache named no-such-cache", "stat", "no-such-cache" },
            { 3, "cannot open ./none: No such file", "stat", "./none" },
            { 3, "is not a tandem segment", "stat", "/etc/passwd" },
        } do
            local text, status = tandem(unpack(case, 3))
            assert.are.equal(case[1], status, text)
            assert.truthy(text:find(case[2], 1, true), text)
        end
    end)

    it("says that it cannot write", function()
        for _, words in ipairs { "--help", "--version", "keys " .. path } do
            local text, status = run.run({ "sh", "-c", run.root .. "/bin/tandem " .. words
                                                       .. " >/dev/full" })
            assert.are.equal("4 tandem: cannot write: No space left on device\n",
                             status .. " " .. text)
        end
    end)

    it("refuses a segment of another version", function()
        local bytes = run.read_file(path)
        run.write_file(path .. ".other", bytes:sub(1, 24) .. "0" .. bytes:sub(26))
        local text, status = tandem("stat", path .. ".other")
        assert.are.equal(3, status, text)
        assert.truthy(text:find("another build", 1, true), text)
    end)
end)

describe("the tool, on a cache with a Redis,", function()
    local server, cache, path

    before_each(function()
        server = redis.start()
        path = run.temp_dir() .. "/segment"
        cache = caches.on(server, { path = path, prefix = "p:", max_stale = 5 }, "both")
        for i = 1, 120 do
            cache:set("key" .. i, "value " .. i)
        end
        cache:set(NASTY, "nasty")
    end)
    after_each(run.cleanup)

    it("deletes from memory, and from Redis when told which", function()
        local text, status = tandem("delete", path, "key1")
        assert.are.equal(0, status, text)
        assert.truthy(text:find("Redis was not told", 1, true), text)
        assert.are.equal("value 1", cache:get("key1"))
        text, status = tandem("delete", path, "key1", "--redis", server:url())
        assert.are.equal("0 ", status .. " " .. text)
        assert.is_nil(cache:get("key1"))
        text, status = tandem("clear", path, "--yes", "--redis", server:url())
        assert.are.equal(0, status, text)
        assert.are.same({}, cache:keys())
    end)

    it("warms memory, from a pattern and from a list", function()
        local list = tandem("keys", path)
        tandem("clear", path, "--yes")
        assert.are.equal(0, cache:stats().entries)
        local lookups = cache:stats().hits + cache:stats().misses
        local text, status = tandem("warm", path, "key1?", "--redis", server:url())
        assert.are.equal("0 10 of 10 keys read\n", status .. " " .. text)
        assert.are.equal(10, cache:stats().entries)

        run.write_file(path .. ".keys", list .. "none\n")
        run.write_file(path .. ".url", server:url() .. "\n")
        text, status = tandem("warm", path, "--file", path .. ".keys", "--redis",
                              "@" .. path .. ".url")
        assert.are.equal("0 121 of 122 keys read\n", status .. " " .. text)
        assert.are.equal(121, json.decode((tandem("verify", path, "--json"))).entries
                         - json.decode((tandem("verify", path, "--json"))).absences)
        assert.are.equal(lookups, cache:stats().hits + cache:stats().misses)
        local _, _, tier = cache:get(NASTY)
        assert.are.equal("memory", tier)

        text = on_terminal(79, "warm " .. path .. " --redis @" .. path .. ".url")
        assert.truthy(text:find("[########################] 100 %", 1, true), text)
        assert.truthy(text:find("ETA", 1, true), text)
    end)

    it("keeps the tags of what it warms", function()
        local file = run.temp_dir() .. "/segment"
        local tagged = caches.on(server, { path = file, prefix = "t:", max_stale = 5, tags = true },
                                 "tagged")
        for i = 1, 20 do
            tagged:set("key" .. i, "value " .. i, 100, { tags = { "a" } })
        end
        assert.are.equal(0, (select(2, tandem("clear", file, "--yes"))))
        local text, status = tandem("warm", file, "key*", "--redis", server:url())
        assert.are.equal("0 20 of 20 keys read\n", status .. " " .. text)
        assert.are.equal("memory", (select(3, tagged:get("key20"))))
        assert.is_true(tagged:invalidate_tag("a"))
        assert.is_nil((tagged:get("key20")))
        text, status = tandem("verify", file)
        assert.are.equal(0, status, text)
        text, status = tandem("delete", file, "key1", "--redis", server:url())
        assert.are.equal(0, status, text)
    end)

    it("takes the URL and the keys from one pipe", function()
        run.write_file(path .. ".input", server:url() .. "\nkey1\nkey2\n")
        local command = run.root .. "/bin/tandem warm " .. path .. " --redis @- --file -"
        local text, status = run.run({ "sh", "-c", "cat " .. path .. ".input | " .. command })
        assert.are.equal("0 2 of 2 keys read\n", status .. " " .. text)
    end)

    it("says what is wrong with what it is to read, and with an option", function()
        local folder = path:match("^(.*)/")
        run.write_file(path .. ".keys", "key1\nkey\\q\n")
        run.write_file(path .. ".empty", "")
        local url = server:url()
        for _, case in ipairs {
            { 2, "timeout must be <= 60 seconds", "warm", path, "--redis", url,
              "--timeout", "1e8" },
            { 2, "timeout must be <= 60 seconds", "bench", "--redis", url, "--seconds", "0.1",
              "--timeout", "1e8" },
            { 2, "opts.redis: it must begin", "bench", "--redis", "nonsense", "--seconds", "0.1" },
            { 2, folder .. ": Is a directory", "warm", path, "--redis", url, "--file", folder },
            { 2, "none: No such file", "warm", path, "--redis", url, "--file", folder .. "/none" },
            { 2, ".keys, line 2: not an escape: \\q", "warm", path, "--redis", url,
              "--file", path .. ".keys" },
            { 3, folder .. ": Is a directory", "warm", path, "--redis", "@" .. folder },
            { 3, path .. ".empty is empty", "warm", path, "--redis", "@" .. path .. ".empty" },
        } do
            local text, status = tandem(unpack(case, 3))
            assert.are.equal(case[1], status, text)
            assert.truthy(text:find(case[2], 1, true), text)
            assert.falsy(text:find("traceback", 1, true), text)
        end
    end)

    it("refuses another Redis, and one that does not answer is an error", function()
        local text, status = tandem("warm", path, "--redis", server:url() .. "/3")
        assert.are.equal(3, status, text)
        assert.truthy(text:find("has another Redis", 1, true), text)
        server:stop()
        text, status = tandem("warm", path, "key1", "--redis", server:url(), "--timeout", "1")
        assert.are.equal(4, status, text)
    end)

    it("measures this host", function()
        local text, status = tandem("bench", path, "--redis", server:url(), "--seconds", "2",
                                    "--json")
        assert.are.equal(0, status, text)
        local found = json.decode(text)
        for _, name in ipairs { "near_hit", "segment_hit", "set", "delete", "live" } do
            assert.is_true(found[name .. "_ns"] > 0, name)
        end
        assert.is_true(found.redis.round_trip.count > 10)
        assert.is_true(found.redis.seen_after.count > 10)
        assert.are.equal(121, cache:stats().entries)
    end)
end)

describe("the tool, on a cache of nginx's workers without a file,", function()
    teardown(run.cleanup)

    it("finds it by its name", function()
        local name = "named-" .. require("posix.unistd").getpid()
        local web = nginx.start({ init = ([[
            cache = assert(require("resty.tandem").new("%s", { memory = "2m" }))
        ]]):format(name) })
        web:eval("return cache:set('key', 'value')")
        assert.are.equal("value", (tandem("get", name, "key")))
        assert.truthy(tandem("list"):find(name, 1, true))
        assert.are.equal("", (tandem("delete", name, "key")))
        assert.are.equal("false", web:eval("return cache:exists('key')"))
    end)
end)
