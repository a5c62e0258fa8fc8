--- Examples that are to be copied do what they say: each in a real nginx, beside a real Redis.

local redis = require "spec.support.redis"
local run = require "spec.support.run"

local function replace_one(text, what, with)
    local from, to = text:find(what, 1, true)
    assert(from and not text:find(what, to + 1, true), what)
    return text:sub(1, from - 1) .. with .. text:sub(to + 1)
end

describe("the examples", function()
    local server

    setup(function()
        server = redis.start()
    end)
    teardown(run.cleanup)

    -- The example as it stands there, but for ports, and with the folders of this source tree; the
    -- window of the limit and the time-out are longer than any test.
    local function start(name)
        local folder, port = run.temp_dir() .. "/example", redis.free_port()
        run.copy_tree(run.root .. "/examples/" .. name, folder)
        local code = run.read_file(folder .. "/limit.lua")
        code = replace_one(code, "LIMIT, WINDOW = 5, 10 ", "LIMIT, WINDOW = 5, 600 ")
        code = replace_one(code, "redis = redis", "redis = redis, timeout = 20")
        run.write_file(folder .. "/limit.lua", code)
        local conf = run.read_file(folder .. "/nginx.conf")
        conf = replace_one(conf, "listen 127.0.0.1:8080", "listen 127.0.0.1:" .. port)
        conf = replace_one(conf, "redis://127.0.0.1:6379/0", server:url(0))
        conf = replace_one(conf, 'lua_package_path "$prefix?.lua;;";',
            ('lua_package_path "$prefix?.lua;%s/lua/?.lua;;";\n'
             .. 'lua_package_cpath "%s/build/?.so;;";'):format(run.root, run.root))
        for _, kind in ipairs({ "client_body", "proxy", "fastcgi", "uwsgi", "scgi" }) do
            conf = replace_one(conf, "http {\n", ("http {\n%s_temp_path %s;\n"):format(kind, kind))
        end
        if (os.getenv("OPENRESTY") or "") ~= "" then
            conf = conf:gsub("load_module [^\n]*\n", "")
        end
        run.write_file(folder .. "/nginx.conf", conf)
        local nginx = run.start({
            run.need(run.nginx), "-p", folder, "-c", "nginx.conf", "-e", "error.log", "-g",
            "daemon off; pid nginx.pid; error_log error.log notice;",
        }, { output = folder .. "/output" })
        local url = ("http://127.0.0.1:%d/"):format(port)
        run.wait_until("nginx listens", function()
            assert(nginx:alive(), run.read_file(folder .. "/output"))
            local _, status = run.run({ "curl", "-s", "-o", "/dev/null", url })
            return status == 0
        end)
        return url
    end

    it("have a rate limit that is exact, however many ask at once", function()
        local url = start("rate-limit")
        server:call("FLUSHALL")
        local answers = run.run({ "sh", "-c", ("seq 20 | xargs -P 10 -I {} curl -s -m 20"
            .. " -o /dev/null -w '%%{http_code}\\n' '%s?{}'"):format(url) })
        local counts = {}
        for status in answers:gmatch("%d+") do
            counts[status] = (counts[status] or 0) + 1
        end
        assert.are.same({ ["200"] = 5, ["429"] = 15 }, counts)
        local keys = server:call("KEYS", "limit:*")
        assert.are.equal("20", server:call("GET", keys[1]))
        local left = server:call("PTTL", keys[1])
        assert.is_true(left > 0 and left <= 600000)
        local refused = run.run({ "curl", "-si", "-m", "20", url })
        assert.is_truthy(refused:find("^HTTP/1.1 429 "), refused)
        local seconds = tonumber(refused:match("\nRetry%-After: (%d+)"))
        assert.is_true(seconds >= 1 and seconds <= 600)
    end)

    it("have a rate limit that lets everybody pass while Redis is away", function()
        local url = start("rate-limit")
        server:kill()
        for _ = 1, 10 do
            assert.are.equal("welcome\n", (run.run({ "curl", "-s", "-m", "20", url })))
        end
        server:restart()
    end)
end)
