--- An nginx from its start to its end, beside a Redis that has keys p:key1 to p:key100: for specs
-- that look at what it leaves.

local assert = require "luassert"
local http = require "spec.support.http"
local nginx = require "spec.support.nginx"
local redis = require "spec.support.redis"
local run = require "spec.support.run"

-- NOISE: what a busy machine may add to a time, in seconds.
local _M = { NOISE = 1 }

local server
local started = {}

--- For setup.  Returns the Redis.
function _M.setup()
    server = redis.start()
    return server
end

--- For before_each.
function _M.fill()
    server:call("FLUSHALL")
    for i = 1, 100 do
        server:call("SET", "p:key" .. i, "value" .. i)
    end
end

--- For after_each.
function _M.stop_all()
    server:mend()
    for _, web in ipairs(started) do
        web:stop()
    end
    started = {}
end

--- Lua that opens `cache`; options: more of them, as text.
function _M.opening(options)
    return ([[cache = assert(require("resty.tandem").new("web",
        { memory = "4m", redis = %q, prefix = "p:", timeout = 5, %s }))]])
        :format(server:url(), options or "")
end

--- Starts an nginx with some locations that use the cache.  options as nginx.start; cache: those of
-- the cache, as text.
function _M.start(options)
    options = options or {}
    options.init = options.init or _M.opening(options.cache)
    options.locations = {
        ["/get"] = [[ ngx.print(tostring((cache:get(ngx.var.arg_key)))) ]],
        ["/set"] = [[ ngx.print(tostring(cache:set(ngx.var.arg_key, "value"))) ]],
        -- Asks Redis when its worker has begun to exit, and some time after that.
        ["/late"] = [[
            while not ngx.worker.exiting() do
                ngx.sleep(0.01)
            end
            ngx.sleep(0.1)
            local set, value = cache:set("late" .. ngx.var.arg_n, "value"), nil
            ngx.sleep(0.1)
            value = cache:get("key" .. ngx.var.arg_n)
            ngx.print(tostring(set), " ", tostring(value))
        ]],
    }
    started[#started + 1] = nginx.start(options)
    return started[#started]
end

--- Mappings that are shared with other processes: segments.
function _M.shared_mappings_of(pid)
    local _, n = (run.read_file("/proc/" .. pid .. "/maps") or ""):gsub("\n%S+ %S*s ", "")
    return n
end

--- Connections to Redis but the one that asks.
function _M.redis_clients()
    local _, n = server:call("CLIENT", "LIST"):gsub("id=", "")
    return n - 1
end

--- An nginx that has ended has left neither files nor connections, and logged nothing unexpected.
function _M.nothing_left(web, expected)
    for _, path in ipairs(web:leftovers()) do
        assert.is_truthy(path:find("/tandem%-%d+$"), "left behind: " .. path)
    end
    assert.are.same({}, web:problems(expected))
    run.wait_until("no connection to Redis is left", function()
        return _M.redis_clients() == 0
    end)
end

--- Sockets of bells, an array of paths.
function _M.bells(web)
    local list = {}
    for _, path in ipairs(web:leftovers()) do
        if path:find("/bell-", 1, true) then
            list[#list + 1] = path
        end
    end
    return list
end

--- Requests of all kinds that have been sent, and not yet answered.
function _M.send_some(web, round)
    local list = {}
    for i = 1, 10 do
        list[#list + 1] = http.send(web, "/get?key=key" .. (round * 10 + i) % 100 + 1)
        list[#list + 1] = http.send(web, "/get?key=absent" .. round .. "." .. i)
        list[#list + 1] = http.send(web, "/set?key=own" .. round .. "." .. i)
    end
    return list
end

--- They are answered, and rightly.
function _M.all_answered(requests)
    for i, request in ipairs(http.finish(requests, 20)) do
        assert.are.equal(200, request.status, request.err)
        local expected = ({ "^value%d+$", "^nil$", "^true$" })[(i - 1) % 3 + 1]
        assert.is_truthy(request.body:find(expected), request.body)
    end
end

return _M
