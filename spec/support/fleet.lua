--- Three hosts, nginxes of two workers each, with one Redis and caches with lock = "redis".

local fetching = require "spec.support.fetching"
local redis = require "spec.support.redis"
local run = require "spec.support.run"

local _M = { HOSTS = 3, EACH = 50 }
local Fleet = {}
Fleet.__index = Fleet

--- Starts them.
-- @return server= (the Redis) and sites= (an array, of spec.support.fetching)
function _M.start()
    local self = setmetatable({ server = redis.start(), sites = {}, number = 0 }, Fleet)
    for i = 1, _M.HOSTS do
        self.sites[i] = fetching.start(([[
            redis = %q, prefix = "f:", lock = "redis", timeout = 4, max_stale = 10,
            stale_ttl = 100, lock_timeout = 60, hard_timeout = 60, neg_ttl = 600
        ]]):format(self.server:url()))
    end
    return self
end

function Fleet:quit()
    for _, site in ipairs(self.sites) do
        site.web:quit()
    end
end

function _M.await(what, condition)
    return run.wait_until(what, condition, 30)
end

--- A key that no test has had yet.
function Fleet:new_key()
    self.number = self.number + 1
    return "key" .. self.number
end

--- Lets held loaders go on, or hold again.
function Fleet:go()
    for _, site in ipairs(self.sites) do
        site:go()
    end
end

function Fleet:stop()
    for _, site in ipairs(self.sites) do
        site:stop()
    end
end

--- Before each test: Redis is well, all are told of changes, and loaders hold.
function Fleet:mend()
    self.server:mend()
    self:stop()
    for _, site in ipairs(self.sites) do
        run.wait_until("its link is up", function()
            return site:eval("cache:get('a') return cache:stats().tracking.state") == "'on'"
        end)
    end
end

-- -- What has been counted -----------------------------------------------------------------------

--- How often loaders were counted as this name, on all hosts.
function Fleet:count(name)
    local sum = 0
    for _, site in ipairs(self.sites) do
        sum = sum + site:count(name)
    end
    return sum
end

--- One of fetch's counters, of all hosts.
function Fleet:sum(counter)
    local sum = 0
    for _, site in ipairs(self.sites) do
        sum = sum + site:counter(counter)
    end
    return sum
end

--- How often Redis was asked for a lock, or told that one is given up.
function Fleet:asked()
    return tonumber(self.server:call("INFO", "commandstats"):match("cmdstat_eval:calls=(%d+)"))
end

-- -- The lock ------------------------------------------------------------------------------------

function Fleet:lock_of(key)
    return self.server:call("GET", "f:#tandem:lock:" .. key)
end

--- Takes it as a host that has died.
function Fleet:lock_away(key)
    self.server:call("SET", "f:#tandem:lock:" .. key, "h0123456789abcdef", "PX", 100000)
end

-- -- Requests ------------------------------------------------------------------------------------

--- EACH requests to every host, half of them to each worker; all wait when it returns, and one
-- loader, which is counted as the key, runs.  Returns the requests, a table for each host.
function Fleet:crowd(key, code)
    local before, joined, all = self:sum("fleet_waits"), self:sum("joined"), {}
    for i, site in ipairs(self.sites) do
        all[i] = site:send_to(site.workers[1], _M.EACH / 2, code)
        for _, request in ipairs(site:send_to(site.workers[2], _M.EACH / 2, code)) do
            all[i][#all[i] + 1] = request
        end
    end
    _M.await("a loader runs", function() return self:count(key) > 0 end)
    _M.await("the other hosts wait", function()
        return self:sum("fleet_waits") >= before + _M.HOSTS - 1
    end)
    _M.await("on each host all wait for one", function()
        return self:sum("joined") >= joined + _M.HOSTS * (_M.EACH - 1)
    end)
    return all
end

--- How many requests, those of each host, got which answer.
function Fleet:answers(all)
    local said = {}
    for i, requests in ipairs(all) do
        for answer, n in pairs(self.sites[i]:answers(requests)) do
            said[answer] = (said[answer] or 0) + n
        end
    end
    return said
end

--- Waits until what a host has of a key is past its TTL, by the clock of hits, too, which is late.
function _M.await_stale(site, key)
    _M.await("it is stale", function()
        local left = site:eval(("cache:get(%q) return (cache:peek(%q, { stale = true }))")
                               :format(key, key))
        return (tonumber(left) or 0) < -0.05
    end)
end

return _M
