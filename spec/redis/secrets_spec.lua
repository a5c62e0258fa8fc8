--- No password in anything that is said, logged, counted or written, whatever goes wrong.

local caches = require "spec.support.caches"
local json = require "cjson"
local nginx = require "spec.support.nginx"
local peer = require "spec.support.peer"
local redis = require "spec.support.redis"
local run = require "spec.support.run"
local show = require "spec.support.show"
local tandem = require "resty.tandem"

local SECRET = "s3cret/w0rd%"
local ENCODED = "s3cret%2Fw0rd%25"
local PART = require("spec.support.secrets").WORD

-- Says the password back to whoever gives it one.
local PARROT = [[
    local last = ""
    while true do
        local words = c:command()
        if not words then
            return
        elseif words[1] == "AUTH" then
            last = words[#words]
            c:write("-ERR no such user, or " .. last .. " is wrong: " .. last .. "\r\n")
        else
            c:write("-ERR " .. words[1] .. " after " .. last .. "\r\n")
        end
    end
]]

describe("a password", function()
    local server, said

    setup(function()
        server = redis.start({ password = SECRET })
        server:call("ACL", "SETUSER", "app", "on", ">" .. SECRET, "~*", "&*", "+@all")
    end)
    teardown(run.cleanup)

    before_each(function()
        said = {}
        tandem.set_logger(function(_, message) said[#said + 1] = message end)
    end)
    after_each(function() tandem.set_logger(nil) end)

    local function hear(...)
        for i = 1, select("#", ...) do
            said[#said + 1] = show((select(i, ...)))
        end
    end

    -- All strings that one comes by from a table, as a developer's dump would.
    local function dump(value, seen)
        if type(value) == "string" then
            said[#said + 1] = value
        elseif type(value) == "table" and not seen[value] then
            seen[value] = true
            for key, each in next, value do
                dump(key, seen)
                dump(each, seen)
            end
            dump(getmetatable(value), seen)
        end
    end

    local function check()
        assert.is_true(#said > 5, "there is too little to look at")
        for _, text in ipairs(said) do
            assert.is_nil(text:find(PART, 1, true), text)
        end
    end

    -- Does with a cache what can be done, and hears all that it says.
    local function use(cache)
        hear(cache:get("key"))
        hear(cache:set("key", "value", 10))
        hear(cache:delete("key"))
        hear(cache:exists("key"))
        hear(cache:ttl("key"))
        hear(cache:add("key", "value"))
        hear(cache:incr("n", 1, 0))
        hear(cache:expire("key", 10))
        hear(cache:get_multi({ "a", "b" }))
        hear(cache:set_multi({ a = "1" }))
        hear(cache:delete_multi({ "a" }))
        hear(cache:fetch("made", function() return "made" end))
        hear(cache:fetch("failed", function() error("out of cheese") end))
        hear(cache:keys())
        hear(cache:clear())
        hear(cache:delete_by_pattern("a*"))
        hear(json.encode(cache:stats()))
        hear(tostring(cache))
        hear((require("resty.tandem.prometheus").collect()))
        dump(cache, {})
        dump(package.loaded["resty.tandem"], {})
    end

    it("that is right is nowhere", function()
        local path = run.temp_dir() .. "/segment"
        for i, of in ipairs({
            ("redis://:%s@127.0.0.1:%d"):format(ENCODED, server.port),
            ("redis://app:%s@127.0.0.1:%d"):format(ENCODED, server.port),
            { url = "redis://127.0.0.1:" .. server.port, username = "app", password = SECRET },
        }) do
            local cache = caches.open({ redis = of, max_stale = 1, path = path .. i })
            use(cache)
            assert.is_true(cache:set("key", "value"))
            run.wait_until("its link is up", function()
                return cache:stats().tracking.state == "on"
            end)
            for _, command in ipairs({ "stat", "keys", "get key", "ttl key", "verify",
                                       "delete key", "clear" }) do
                local name, more = command:match("^(%l+) ?(.*)$")
                local words = { run.root .. "/bin/tandem", name, path .. i }
                for word in more:gmatch("%S+") do
                    words[#words + 1] = word
                end
                hear((run.run(words)))
                words[#words + 1] = "--json"
                hear((run.run(words)))
            end
            hear((run.read_file(path .. i):find(PART, 1, true)))
        end
        hear(server:call("CLIENT", "LIST"))
        check()
    end)

    it("that the tool reads from a file is not in its output, nor in its title", function()
        local folder = run.temp_dir()
        local path, url = folder .. "/segment", folder .. "/url.conf"
        run.write_file(url, ("redis://app:%s@127.0.0.1:%d\n"):format(ENCODED, server.port))
        local cache = caches.open({ redis = run.read_file(url):sub(1, -2), path = path })
        assert.is_true(cache:set("key", "value"))
        local tool = run.root .. "/bin/tandem"
        for _, words in ipairs({ { "warm" }, { "warm", "--json" }, { "clear", "--yes" } }) do
            local text, status = run.run({ tool, words[1], path, "--redis", "@" .. url, words[2] })
            assert.are.equal(0, status, text)
            hear(text)
        end
        assert.are.same({}, cache:keys())
        local process = run.start({ tool, "bench", "--redis", "@" .. url, "--seconds", "1" },
                                  { pipe = true })
        repeat -- as long as it runs
            local title = run.read_file("/proc/" .. process.pid .. "/cmdline") or ""
            hear(title)
            run.nap(50)
        until not process:alive()
        hear(process:read_all())
        assert.are.same({ "exited", 0 }, { process:wait() })
        check()
    end)

    it("that is wrong is not said, nor by a server that says it back", function()
        local parrot = peer.start(PARROT)
        for _, at in ipairs({ "127.0.0.1:" .. server.port, "127.0.0.1:" .. redis.free_port(),
                              (parrot:url():match("//(.*)$")) }) do
            for _, policy in ipairs({ "degrade", "fail" }) do
                for _, user in ipairs({ "", "app" }) do
                    use(caches.open({ redis = ("redis://%s:%s@%s"):format(user, ENCODED .. "x", at),
                                      on_redis_error = policy, max_stale = 1 }))
                end
            end
        end
        check()
    end)

    it("is not in what is raised", function()
        local url = ("redis://:%s@127.0.0.1:%d"):format(ENCODED, server.port)
        local name = caches.open({ redis = url }).name
        for _, opts in ipairs({
            { redis = url .. "/nonsense" }, { redis = url .. ":x" }, { redis = "http" .. url },
            { redis = url, memory = "3m" }, { redis = url, prefix = "other:" },
            { redis = { url = url, pasword = SECRET } }, { redis = { password = SECRET } },
            { redis = { url = url, password = SECRET } }, { redis = "rediss" .. url:sub(6) },
            { redis = { url = url, password = { SECRET } } }, { redis = url:gsub("%%25", "%%2") },
        }) do
            local ok, err = pcall(tandem.new, name, opts)
            assert.is_false(ok)
            hear(err)
        end
        check()
    end)

    it("is not in what nginx logs, shows or is called", function()
        local web = nginx.start({
            init = ([[
                cache = assert(require("resty.tandem").new("web", { memory = "4m",
                    redis = "redis://app:%s@127.0.0.1:%d" }))
                other = assert(require("resty.tandem").new("other", { memory = "4m",
                    redis = "redis://app:%s@127.0.0.1:%d" }))
            ]]):format(ENCODED, server.port, ENCODED .. "x", server.port),
            locations = {
                ["/metrics"] = [[require("resty.tandem.prometheus").serve()]],
                ["/status"] = [[require("resty.tandem.status").serve()]],
            },
        })
        for _ = 1, 3 do
            hear(web:eval([[return cache:get("key"), cache:set("key", "value"), cache:stats()]]))
            hear(web:eval([[return other:get("key")]]), web:eval([[return other:set("key", "v")]]))
            hear(web:eval([[
                return other:fetch("key2", function() error(tostring(other)) end)
            ]]))
        end
        for _, uri in ipairs({ "/metrics", "/status", "/status?format=json" }) do
            local answer = web:get(uri)
            assert.are.equal(200, answer.status)
            assert.is_truthy(answer.body:find("other", 1, true) or uri == "/status")
            hear(answer.body)
        end
        local pids = web:workers()
        pids[#pids + 1] = web.process.pid
        for _, pid in ipairs(pids) do
            hear(run.read_file("/proc/" .. pid .. "/cmdline"))
            hear(run.read_file("/proc/" .. pid .. "/environ"))
            hear(table.concat(run.threads_of(pid), " "))
            hear(run.read_file("/proc/" .. pid .. "/maps"))
        end
        web:quit()
        hear(run.read_file(web.folder .. "/error.log"))
        check()
    end)
end)
