-- Every phase that this nginx has, against the table of where what may be called.

local cjson = require "cjson"

local nginx = require "spec.support.nginx"
local redis = require "spec.support.redis"
local run = require "spec.support.run"

local function set_of(...)
    local set = {}
    for _, name in ipairs({ ... }) do
        set[name] = true
    end
    return set
end

local WAITING = set_of("server_rewrite", "rewrite", "access", "content", "timer", "ssl_cert")
local QUEUEING = set_of("init_worker", "set", "header_filter", "body_filter", "log", "balancer",
                        "ssl_client_hello", "ssl_session_store", "exit_worker")

-- This one waits where OpenSSL has OpenResty's patch for it.
local function may_session_fetch_wait()
    local openresty = os.getenv("OPENRESTY")
    return openresty ~= nil and openresty ~= ""
end

if may_session_fetch_wait() then
    WAITING.ssl_session_fetch = true
else
    QUEUEING.ssl_session_fetch = true
end

local HTTP = [[
    ssl_session_fetch_by_lua_block { probe.run("ssl_session_fetch") }
    ssl_session_store_by_lua_block { probe.run("ssl_session_store") }
    exit_worker_by_lua_block {
        probe.run("exit_worker")
        local file = io.open("$folder/at-exit", "w")
        file:write(probe.dump())
        file:close()
    }
    upstream chosen {
        server 0.0.0.1;
        balancer_by_lua_block {
            probe.run("balancer")
            assert(require("ngx.balancer").set_current_peer("unix:$folder/http.sock"))
        }
    }
    server {
        listen unix:$folder/tls.sock ssl;
        ssl_certificate $tree/spec/support/localhost.pem;
        ssl_certificate_key $tree/spec/support/localhost.pem;
        ssl_protocols TLSv1.2;
        ssl_session_tickets off;
        ssl_session_cache shared:sessions:1m;
        ssl_client_hello_by_lua_block { probe.run("ssl_client_hello") }
        ssl_certificate_by_lua_block { probe.run("ssl_cert") }
        location / { return 200 "by TLS"; }
    }
]]

local SERVER = [[
    server_rewrite_by_lua_block {
        if ngx.var.uri == "/all" then
            probe.run("server_rewrite")
        end
    }
    location = /all {
        set_by_lua_block $nothing { probe.run("set") return "" }
        rewrite_by_lua_block { probe.run("rewrite") }
        access_by_lua_block { probe.run("access") }
        content_by_lua_block { probe.run("content") ngx.say("done") }
        header_filter_by_lua_block { probe.run("header_filter") }
        body_filter_by_lua_block { probe.run("body_filter") }
        log_by_lua_block { probe.run("log") }
    }
    location = /balanced { proxy_pass http://chosen/plain; }
    location = /tls {
        proxy_pass https://unix:$folder/tls.sock:/;
        proxy_ssl_protocols TLSv1.2;
        proxy_ssl_session_reuse on;
    }
]]

describe("in each phase", function()
    local server, web, results

    local function cold_keys(phase)
        server:call("SET", "p:cold:" .. phase, "cold value")
        for i = 2, 5 do
            server:call("SET", "p:cold:" .. phase .. ":" .. i, "cold value", "PX", "100000")
        end
    end

    setup(function()
        server = redis.start()
        cold_keys("init")
        for _, phases in ipairs({ WAITING, QUEUEING }) do
            for phase in pairs(phases) do
                cold_keys(phase)
            end
        end
        server:call("SET", "p:hot", "hot value")
        web = nginx.start({
            workers = 1, http = HTTP, server = SERVER,
            init = ([[
                probe = require "spec.nginx.probe"
                probe.open(%q)
                probe.run("init")
            ]]):format(server:url()),
            init_worker = [[
                probe.run("init_worker")
                assert(ngx.timer.at(0, function()
                    probe.run("timer")
                end))
            ]],
        })
        run.wait_until("the timer has run", function()
            return web:eval("return (probe.results.timer or {}).stats") == "'table'"
        end)
        assert.are.equal("done\n", web:get("/all").body)
        assert.are.equal("plain", web:get("/balanced").body)
        for _ = 1, 3 do
            assert.are.equal("by TLS", web:get("/tls").body)
        end
        web:quit()
        results = cjson.decode(run.read_file(web.folder .. "/at-exit"))
    end)
    teardown(run.cleanup)

    it("the phase is what it should be", function()
        for _, phases in ipairs({ WAITING, QUEUEING, { init = true } }) do
            for phase in pairs(phases) do
                assert.is_table(results[phase], phase .. " was never reached")
                assert.are.equal(phase, results[phase].phase)
            end
        end
    end)

    it("a cache in memory only does everything", function()
        for phase, r in pairs(results) do
            assert.are.equal("true", r.memory_set, phase)
            assert.are.equal("'" .. phase .. "' nil 'memory'", r.memory_get, phase)
            assert.are.equal("{'key'}", r.memory_keys, phase)
            assert.are.equal("{key='" .. phase .. "'}", r.memory_get_multi, phase)
            assert.are.equal("false 'exists'", r.memory_add, phase)
            assert.are.equal("true", r.memory_replace, phase)
            assert.are.equal("3", r.memory_incr, phase)
            assert.are.equal("true", r.memory_expire, phase)
            assert.are.equal("true", r.memory_touch, phase)
            assert.are.equal("0 nil '3' 'memory'", r.memory_peek, phase)
            assert.are.equal("'key' nil", r.memory_scan, phase)
            assert.are.equal("true", r.memory_delete, phase)
            assert.are.equal("nil", r.memory_miss, phase)
            assert.are.equal("true", r.memory_clear, phase)
        end
    end)

    it("what memory has of both tiers is served", function()
        for phase, r in pairs(results) do
            if phase ~= "init" and phase ~= "init_worker" then
                -- The first to ask, whoever that is, brings it from Redis.
                assert.is_truthy(r.hit:find("^'hot value' nil '%a+'$"), phase .. ": " .. r.hit)
                assert.are.equal("true", r.hit_exists, phase)
                assert.are.equal("{hot='hot value'}", r.hit_multi, phase)
                assert.are.equal("'hot value' nil 'memory'", r.fetch_hit, phase)
                assert.is_truthy(r.peek:find("^[%d.]+ nil 'hot value' 'memory'$"), r.peek)
            end
            assert.is_truthy(tonumber(r.cleanup_expired) or phase == "init", phase)
            assert.are.equal("table", r.stats, phase)
        end
    end)

    for phase in pairs(WAITING) do
        it(phase .. " waits for Redis", function()
            local r = results[phase]
            assert.are.equal("'cold value' nil 'redis'", r.get)
            assert.are.equal("'cold value' nil 'memory'", r.get_again)
            assert.are.equal("true", r.exists)
            assert.is_true(tonumber(r.ttl) > 50 and tonumber(r.ttl) <= 100)
            assert.are.equal("{['cold:" .. phase .. ":3']='cold value', hot='hot value'}",
                             r.get_multi)
            assert.are.equal("{['cold:" .. phase .. ":3']=true}", r.exists_multi)
            assert.are.equal("true", r.set)
            assert.are.equal("true", r.set_multi)
            assert.are.equal("true", r.delete)
            assert.are.equal("1", r.delete_multi)
            assert.are.equal("'" .. phase .. "' nil 'loader'", r.fetch)
            assert.are.equal("'" .. phase .. "' nil 'loader'", r.memory_fetch)
            assert.are.equal("2", r.loads)
            assert.are.equal("true", r.add)
            assert.are.equal("false 'not found'", r.replace)
            assert.are.equal("3", r.incr)
            assert.are.equal("true", r.expire)
            assert.are.equal("true", r.touch)
            assert.are.equal("{'key'}", r.keys)
            assert.are.equal("'key' nil", r.scan)
            assert.are.equal("0", r.delete_by_pattern)
            assert.are.equal("true", r.clear)
        end)
    end

    for phase in pairs(QUEUEING) do
        it(phase .. " does not wait: reads say so, writes are queued", function()
            local r = results[phase]
            local function refused(what)
                assert.is_truthy(r[what]:find("^nil '.*" .. phase), what .. ": " .. r[what])
            end
            refused("get")
            refused("exists")
            refused("ttl")
            assert.is_truthy(r.get_multi:find(phase, 1, true), r.get_multi)
            assert.is_truthy(r.exists_multi:find("^{} '.*" .. phase), r.exists_multi)
            assert.is_truthy(r.set:find("^true 'queued: .*" .. phase), r.set)
            assert.is_truthy(r.set_multi:find("^true 'queued: .*" .. phase), r.set_multi)
            assert.is_truthy(r.delete:find("^true 'queued: .*" .. phase), r.delete)
            assert.is_truthy(r.delete_multi:find("^1 'queued: .*" .. phase), r.delete_multi)
            refused("fetch")
            refused("memory_fetch")
            assert.are.equal("0", r.loads)
            refused("add")
            refused("replace")
            refused("incr")
            assert.is_truthy(r.expire:find("^true 'queued: .*" .. phase), r.expire)
            assert.is_truthy(r.touch:find("^true 'queued: .*" .. phase), r.touch)
            assert.is_truthy(r.scan:find("^false '.*" .. phase), r.scan)
            refused("keys")
            refused("delete_by_pattern")
            refused("clear")
        end)
    end

    it("what was written has arrived in Redis, what was queued included", function()
        run.wait_until("the last worker's queue is sent", function()
            return server:call("GET", "p:mine:exit_worker:b")
        end, 5)
        for _, phases in ipairs({ WAITING, QUEUEING }) do
            for phase in pairs(phases) do
                assert.are.equal(phase, server:call("GET", "p:mine:" .. phase))
                assert.are.equal(phase, server:call("GET", "p:mine:" .. phase .. ":a"))
                assert.are.equal(phase, server:call("GET", "p:mine:" .. phase .. ":b"))
                assert.are.equal("cold value", server:call("GET", "p:cold:" .. phase))
                assert.is_true(server:call("PTTL", "p:cold:" .. phase .. ":3") > 500000)
                assert.are.equal(-1, server:call("PTTL", "p:cold:" .. phase .. ":2"))
                assert.is_nil(server:call("GET", "p:cold:" .. phase .. ":4"))
                assert.is_nil(server:call("GET", "p:cold:" .. phase .. ":5"))
            end
        end
    end)

    it("init does nothing that needs Redis, and says where to do it", function()
        local r = results.init
        for _, what in ipairs({ "get", "exists", "ttl", "get_multi", "exists_multi", "set",
                                "set_multi", "delete", "delete_multi", "keys",
                                "delete_by_pattern", "clear", "add", "replace", "incr",
                                "expire", "touch", "peek", "fetch" }) do
            assert.is_truthy(r[what]:find("^nil '.*init.*init_worker"), what .. ": " .. r[what])
        end
        assert.is_truthy(r.scan:find("^false '.*init.*init_worker"), r.scan)
        assert.are.equal("0", r.loads)
        assert.is_nil(server:call("GET", "p:mine:init"))
        assert.are.equal("cold value", server:call("GET", "p:cold:init:4"))
    end)

    it("nothing is raised, and nothing is logged as an error", function()
        for phase, r in pairs(results) do
            for what, answer in pairs(r) do
                assert.is_nil(answer:find("RAISED", 1, true), phase .. " " .. what .. answer)
            end
        end
        assert.are.same({}, web:problems())
    end)
end)
