--- What a fault of Redis does to caches, as seen from inside their process: one cache for each
-- operation and policy, so that for each of them the fault is news.

local run = require "spec.support.run"
local show = require "spec.support.show"
local tandem = require "resty.tandem"

local _M = {}

--- In seconds.
_M.TIMEOUT = 0.4

_M.POLICIES = { "degrade", "fail" }
_M.OPERATIONS = { "get", "set", "delete" }

local url
local caches = {} -- operation -> policy -> cache

--- What stands before a cache's keys in Redis.
function _M.prefix(operation, policy)
    return operation .. "-" .. policy .. ":"
end

-- That Redis is away is found out before the lease is over, even if nobody asks.  Those that have
-- a long one do not know before their first call, unless that comes late: known.
local MAX_STALE = { get = 1, set = 30, delete = 30 }

local function options(operation, policy)
    return { redis = url, memory = "1m", timeout = _M.TIMEOUT, connect_timeout = _M.TIMEOUT,
             max_stale = MAX_STALE[operation], on_redis_error = policy }
end

local function each(fn)
    for _, operation in ipairs(_M.OPERATIONS) do
        for _, policy in ipairs(_M.POLICIES) do
            fn(caches[operation][policy], operation, policy)
        end
    end
end

--- Opens them, and waits until all hold the key "kept" in memory and are told of its changes; and
-- until their connections have lasted so many seconds.
function _M.begin(its_url, seconds)
    local began = run.now()
    url = its_url
    for _, operation in ipairs(_M.OPERATIONS) do
        caches[operation] = {}
        for _, policy in ipairs(_M.POLICIES) do
            caches[operation][policy] = assert(tandem.new(operation .. "-" .. policy,
                                                          options(operation, policy)))
        end
    end
    each(function(cache, operation, policy)
        run.wait_until(operation .. " " .. policy .. " is ready", function()
            return show(cache:get("kept")) == "'value' nil 'memory'"
                and cache:stats().tracking.state == "on"
        end)
    end)
    run.wait_until("the connections have lasted", function() return run.now() > began + seconds end)
end

-- One call: what it returned, and the seconds it took.
local CALLS = {
    get = function(cache, name)
        return cache:get(name)
    end,
    set = function(cache, name)
        return cache:set(name, "new")
    end,
    delete = function(cache, name)
        return cache:delete(name)
    end,
}

local function answer(began, first, second, third)
    return { first = first, second = second, third = third, seconds = run.now() - began }
end

-- blocked: a lock of the shared memory was not to be had in time, some time, as when the machine
-- stops whoever has it.
local function call(operation, policy, key)
    local cache = caches[operation][policy]
    local got = answer(run.now(), CALLS[operation](cache, key))
    got.blocked = cache:stats().memory.lock_timeouts > 0
    return got
end

local FIRST_KEYS = { get = "absent", set = "fresh", delete = "kept" }

--- The first call that meets the fault, under each policy: what it returned, how many keys more
-- memory holds afterwards (more), and whether the cache knew already (known).
function _M.first(operation)
    local both = {}
    for _, policy in ipairs(_M.POLICIES) do
        local cache = caches[operation][policy]
        local before, known = cache:stats().entries, cache:stats().redis.state == "down"
        local got = call(operation, policy, FIRST_KEYS[operation])
        got.more, got.known = cache:stats().entries - before, known
        both[policy] = got
    end
    return both
end

--- Waits until the connections of all are known to be down.
function _M.await_down()
    each(function(cache, operation, policy)
        run.wait_until(operation .. " " .. policy .. " has given up", function()
            cache:get("absent")
            return cache:stats().redis.state == "down"
        end)
    end)
end

--- n further calls of each, with some keys of their own (for sixteen there is always room among
-- what is queued): the last answer, and the median of the seconds.
function _M.later(n)
    local answers = {}
    each(function(_, operation, policy)
        local seconds, got = {}, nil
        for i = 1, n do
            got = call(operation, policy, operation == "delete" and "kept" or "later" .. i % 10)
            seconds[i] = got.seconds
        end
        table.sort(seconds)
        got.seconds = seconds[math.ceil(n / 2)]
        answers[operation .. "_" .. policy] = got
    end)
    return answers
end

--- A cache that is opened now: the seconds that took, and its first get.
function _M.open_another()
    local began = run.now()
    local cache = tandem.new("another", options("get", "degrade"))
    local opened = run.now() - began
    local got = answer(run.now(), cache:get("absent"))
    cache:close()
    got.opened = opened
    return got
end

local function memory_of(cache, n)
    local tiers, slowest = {}, 0
    for _ = 1, n do
        local began = run.now()
        local value, err, tier = cache:get("kept")
        slowest = math.max(slowest, run.now() - began)
        tiers[value and tier .. " " .. value or (err and "error" or "absent")] = true
    end
    return { tiers = tiers, slowest = slowest }
end

--- Hits of what memory has: which answers came ("memory value", "stale value", "error"), and the
-- longest any took.
function _M.memory(n)
    return { degrade = memory_of(caches.get.degrade, n), fail = memory_of(caches.get.fail, n) }
end

--- Waits until no cache has the key "kept" any more, which Redis has lost.
function _M.await_loss()
    each(function(cache, operation, policy)
        run.wait_until(operation .. " " .. policy .. " has lost it", function()
            return show(cache:get("kept")) == "nil nil nil"
        end)
    end)
end

--- Waits until what memory has is not fresh any more, under each policy.
function _M.await_stale()
    run.wait_until("degrade serves it as stale", function()
        return select(3, caches.get.degrade:get("kept")) == "stale"
    end)
    run.wait_until("fail answers an error", function()
        return select(2, caches.get.fail:get("kept")) ~= nil
    end)
end

local function text(...)
    return (show(...):gsub("'", ""))
end

--- Waits until every cache has Redis again: the longest that took any.  Then what each says to a
-- set, to gets of what there is, and to a delete.
function _M.back(seconds)
    local began, heard = run.now(), {}
    each(function(cache, operation, policy)
        run.wait_until(operation .. " " .. policy .. " has Redis again", function()
            return show(cache:get("none at all")) == "nil nil nil"
        end, seconds)
    end)
    local took = run.now() - began
    each(function(cache, operation, policy)
        run.wait_until(operation .. " " .. policy .. " is told of changes again", function()
            cache:get("kept") -- who does not read is not told
            return cache:stats().tracking.state == "on"
        end, seconds)
    end)
    each(function(cache, operation, policy)
        heard[operation .. "_" .. policy] = {
            set = text(cache:set("back", "value")),
            get = text(cache:get("back")),
            theirs = text(cache:get("theirs")),
            delete = text(cache:delete("back")),
            kept = text(cache:get("kept")),
        }
    end)
    return { seconds = took, heard = heard }
end

return _M
