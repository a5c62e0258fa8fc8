--- An nginx with two caches, for the status page: "shop" with a Redis, and "switches" without.
-- /work reads what a shop's visitors would.

local nginx = require "spec.support.nginx"
local redis = require "spec.support.redis"

local _M = {}
local Shop = {}
Shop.__index = Shop

local INIT = [[
    local tandem = require "resty.tandem"
    shop = assert(tandem.new("shop", { memory = "$memory", redis = "$redis", ttl = 600 }))
    switches = assert(tandem.new("switches", { memory = "1m" }))
]]

local WORK = [[
    local random = math.random
    local function load(ms, bytes)
        ngx.sleep(ms / 1000)
        return ("v"):rep(bytes)
    end
    for _ = 1, tonumber(ngx.var.arg_n) do
        local id = math.floor(3000 ^ random())
        shop:fetch("product:" .. id, nil, load, 2, 700 + id % 900)
        shop:fetch("session:" .. math.floor(900 ^ random()), nil, load, 1, 180)
        if random() < 0.3 then
            shop:fetch("/api/list/" .. math.floor(60 ^ random()), nil, load, 12, 4000)
        end
        if random() < 0.05 then
            shop:delete("product:" .. id)
        end
        if random() < 0.05 then
            shop:get("absent:" .. id)
        end
        if not switches:get("dark-mode") then
            switches:set("dark-mode", "on", 2)
        end
        switches:get("checkout." .. random(40))
        if random() < 0.05 then
            switches:set("checkout." .. random(40), "half", 5)
        end
    end
    ngx.print("done")
]]

local SERVER = [[
    server {
        listen 127.0.0.1:$port;
        location = /tandem {
            allow 127.0.0.1;
            deny all;
            content_by_lua_block { require("resty.tandem.status").serve() }
        }
    }
]]

--- Starts both.  memory: how much the shop has.
function _M.start(memory)
    local self = setmetatable({ redis = redis.start(), port = redis.free_port() }, Shop)
    self.options = {
        workers = 1, -- of several, each knows its own connection
        init = INIT:gsub("%$(%a+)", { memory = memory or "4m", redis = self.redis:url() }),
        locations = { ["/work"] = WORK }, http = (SERVER:gsub("%$port", self.port)),
    }
    self.nginx = nginx.start(self.options)
    self.url = ("http://127.0.0.1:%d/tandem"):format(self.port)
    return self
end

--- Ends nginx, and with it what it had in memory, and starts another one in its place.
function Shop:restart()
    self.nginx:stop()
    self.nginx = nginx.start(self.options)
end

--- Visitors, each of whom reads some things.
function Shop:work(n)
    local answer = self.nginx:get("/work?n=" .. (n or 200), { seconds = 60 })
    assert(answer.body == "done", answer.err or answer.body)
end

return _M
