--- What one loader for all hosts costs and saves: three nginxes of two workers each, 50 requests to
-- each at once for a key that nobody has; the loader takes 100 ms.

local nginx = require "lib.nginx"
local numbers = require "lib.numbers"
local report = require "lib.report"
local server = require "lib.server"

local HOSTS, REQUESTS, LOADER = 3, 50, 0.1

local CONF = [[
%s
worker_processes 2;
user root;
daemon on;
error_log %s/error.log warn;
pid %s/pid;
events { worker_connections 256; }
http {
    access_log off;
    client_body_temp_path %s/body;
    proxy_temp_path %s/proxy;
    fastcgi_temp_path %s/fastcgi;
    uwsgi_temp_path %s/uwsgi;
    scgi_temp_path %s/scgi;
    lua_package_path "%s/../lua/?.lua;;";
    init_by_lua_block {
        local tandem = require "resty.tandem"
        local function open(name, lock)
            return assert(tandem.new(name, { memory = "8m", lock = lock, timeout = 5,
                                             redis = "unix://%s/redis.sock" }))
        end
        caches = { host = open("host", "host"), redis = open("redis", "redis") }
    }
    server {
        listen unix:%s/http.sock;
        location = /fetch { content_by_lua_block {
            ngx.update_time()
            local began = ngx.now()
            local value, err, tier = caches[ngx.var.arg_lock]:fetch(ngx.var.arg_key, function()
                ngx.sleep(%g)
                return ("v"):rep(1000)
            end)
            ngx.update_time()
            ngx.say(tier or err, " ", (ngx.now() - began) * 1000)
        } }
    }
}
]]

local function start(context, i)
    local f = ("%s/host%d"):format(context.scratch, i)
    os.execute("mkdir -p " .. f)
    nginx.write_file(f .. "/nginx.conf", CONF:format(nginx.modules(), f, f, f, f, f, f, f,
                     context.bench, context.scratch, f, LOADER))
    assert(os.execute(("%s -p %s -c %s/nginx.conf >>%s/output 2>&1"):format(
        os.getenv("NGINX") or "nginx", f, f, f)) == 0, "nginx does not start: see " .. f)
    return f
end

-- All requests for a key, to all hosts at once.  Returns how many loaders ran, and the longest wait
-- in ms.
local function crowd(hosts, lock, key)
    local pipes, loads, worst = {}, 0, 0
    for i, f in ipairs(hosts) do
        pipes[i] = assert(io.popen(("curl -sZ --parallel-immediate --parallel-max %d --unix-socket "
            .. "%s/http.sock 'http://host/fetch?lock=%s&key=%s&n=[1-%d]' 2>/dev/null"):format(REQUESTS, f, lock,
            key, REQUESTS)))
    end
    local answers = 0
    for _, pipe in ipairs(pipes) do
        for line in pipe:lines() do
            local tier, ms = line:match("^(%a+) ([%d.]+)$")
            assert(tier, line)
            answers, worst = answers + 1, math.max(worst, tonumber(ms))
            loads = loads + (tier == "loader" and 1 or 0)
        end
        pipe:close()
    end
    assert(answers == HOSTS * REQUESTS, answers .. " answers")
    return loads, worst
end

local function commands(context)
    local pipe = assert(io.popen(("redis-cli -s %s/redis.sock INFO stats"):format(context.scratch)))
    local n = pipe:read("*a"):match("total_commands_processed:(%d+)")
    pipe:close()
    return tonumber(n)
end

local function sum(list)
    local total = 0
    for _, n in ipairs(list) do
        total = total + n
    end
    return total
end

local function measure(context, hosts, lock)
    local loads, worst = {}, {}
    local keys = context.quick and 10 or 100
    for i = 1, keys do
        loads[i], worst[i] = crowd(hosts, lock, lock .. i)
    end
    local before = commands(context)
    crowd(hosts, lock, lock .. "last")
    local result = { loads = sum(loads) / keys, median_ms = numbers.median(worst),
                     worst_ms = math.max(unpack(worst)), commands = commands(context) - before }
    report.say("  lock = %-7s %.2f loaders a key; the last of %d requests has its answer after %.1f ms"
               .. " (median of %d keys; worst %.1f); %d commands", '"' .. lock .. '":', result.loads,
               HOSTS * REQUESTS, result.median_ms, keys, result.worst_ms, result.commands)
    return result
end

return function(context)
    if os.execute("command -v curl >/dev/null") ~= 0 or not server.is_installed() then
        report.say("  curl or redis-server is missing: bench/deps")
        return nil
    end
    local pid, hosts, result = server.start(context.scratch), {}, {}
    local ok, err = pcall(function()
        for i = 1, HOSTS do
            hosts[i] = start(context, i)
        end
        os.execute("sleep 1") -- until the tracking links are up
        for _, lock in ipairs { "host", "redis" } do
            result[lock] = measure(context, hosts, lock)
        end
        report.target('loaders a key with lock = "redis"', result.redis.loads, 1, true)
    end)
    for _, f in ipairs(hosts) do
        os.execute(("kill -QUIT $(cat %s/pid)"):format(f))
    end
    server.stop(context.scratch, pid)
    return assert(ok, err) and result
end
