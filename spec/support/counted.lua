--- A process that uses a cache without end, and keeps account of all that it does:
--
--   luajit counted.lua NAME PATH ACCOUNTS ROW [REDIS]
--
-- PATH is the segment's file, ACCOUNTS that of spec.support.accounts, ROW this process's own in it.

local name, path, accounts_path, row = arg[1], arg[2], arg[3], tonumber(arg[4])
local redis = arg[5]

local poll = require "posix.poll"

local KEYS = 200

local accounts = require("spec.support.accounts").open(accounts_path)
local cache = assert(require("resty.tandem").new(name, {
    memory = "1m", path = path, redis = redis, tracking = false, max_stale = 600,
    timeout = 30, connect_timeout = 30, lock_timeout = 30,
}))

math.randomseed(row * 7919 + os.time())

local keys = {}
for i = 1, KEYS do
    keys[i] = "key " .. i
end
local fetched = 0

local function load()
    return fetched % 8 ~= 0 and "made by a loader" or nil, fetched % 8 == 0 and "no luck" or nil
end

local DO = {
    get = function(key)
        local value, err = cache:get(key)
        assert(not err, err)
        return value and "hit" or "miss"
    end,
    set = function(key)
        local ok, err = cache:set(key, ("value of " .. key):rep(math.random(1, 30)))
        assert(ok or err:find("busy", 1, true), err)
        return ok and "stored" or "not stored"
    end,
    delete = function(key)
        local gone, err = cache:delete(key)
        assert(gone ~= nil or err:find("busy", 1, true), err)
        return gone and "deleted" or "not deleted"
    end,
    fetch = function()
        fetched = fetched + 1 -- no other process has such keys, so the loader runs
        local _, err, tier = cache:fetch("fetched by " .. row .. ": " .. fetched, load)
        return err and "failed" or tier == "loader" and "loaded" or "found"
    end,
}

local function one(kind, key)
    accounts:add(row, kind)
    accounts:add(row, DO[kind](key))
end

local rounds = 0
while true do
    rounds = rounds + 1
    if rounds % 64 == 0 then
        poll.poll({}, 1) -- so that others get to run
    end
    one("get", keys[math.random(KEYS)])
    one("get", keys[math.random(20)]) -- often enough for the near table
    local dice = math.random(10)
    if dice <= 3 then
        one("set", keys[math.random(KEYS)])
    elseif dice == 4 then
        one("delete", keys[math.random(KEYS)])
    elseif dice == 5 then
        one("fetch")
    end
end
