--- One of several processes that read and write keys without end, and check that nothing they read
-- is too old, or another's, or torn: what stress.lua does by itself, and soak's workers in nginx.

local C = require("resty.tandem.lib").C
local ledger = require "spec.support.ledger"

local _M = { READS = 0, WRITES = 1, MEMORY = 2, REDIS = 3, STALE = 4, FAILED = 5 }
local One = {}
One.__index = One

local COARSE_MS = 12 -- what the clock of hits may lag behind

-- A third of the keys at a time: for what is kept wrongly to show, a key has to be left alone for
-- longer than anything old may be served.
local PHASE_MS = 1500

local TIERS = { memory = _M.MEMORY, redis = _M.REDIS, stale = _M.STALE }

--- The value of a key's version.
function _M.make(key, version)
    return ("%d|%d|%s"):format(key, version,
                               string.char(97 + version % 26):rep(math.random(0, 200)))
end

--- A key that this process may write now.
function _M.own_key(number, writers)
    local phase = math.floor(C.tandem_now_ms() / PHASE_MS) % 3
    return (math.random(0, ledger.KEYS / writers / 3 - 1) * 3 + phase) * writers + number
end

--- options: number, writers (of all), first, last (those of the same host), max_stale,
-- on_redis_error (as given to tandem.new), wrong (what to call when something is), lags (Redis may
-- answer with what is as old as max_stale: a master that does not know yet that it is none).
function _M.new(book, cache, options)
    return setmetatable({ book = book, cache = cache, number = options.number,
                          writers = options.writers, first = options.first, last = options.last,
                          max_stale_ms = options.max_stale * 1000, wrong = options.wrong,
                          fails = options.on_redis_error == "fail", lags = options.lags }, One)
end

function One:check(key, value, tier, at)
    local writer, time = key % self.writers, at
    if self.lags or (tier == "memory" and (writer < self.first or writer > self.last)) then
        time = at - self.max_stale_ms - COARSE_MS
    end
    local floor = tier == "stale" and 0 or self.book:floor(key, time)
    if not value then
        if not self.book:may_lack(key, floor) then
            self.wrong("absent:", key, "at least", floor)
        end
        return
    end
    local of, version, rest = value:match("^(%d+)|(%d+)|(.*)$")
    if tonumber(of) ~= key then
        self.wrong("the value of another key:", key, value)
    elseif rest ~= string.char(97 + version % 26):rep(#rest) then
        self.wrong("torn:", key, value)
    elseif tonumber(version) < floor then
        self.wrong("too old:", key, "has", version, "and", floor, "was acknowledged", tier, at)
    end
end

function One:get()
    local key, at = math.random(0, ledger.KEYS - 1), C.tandem_now_ms()
    local value, err, tier = self.cache:get(tostring(key))
    if err then
        self.book:count(self.number, _M.FAILED)
    else
        self:check(key, value, tier or "redis", at)
        self.book:count(self.number, TIERS[tier] or _M.REDIS)
    end
end

function One:get_many()
    local keys, at = {}, C.tandem_now_ms()
    for i = 1, 5 do
        keys[i] = tostring(math.random(0, ledger.KEYS - 1))
    end
    local found, err = self.cache:get_multi(keys)
    -- Which tier had each is not told: where it may be a stale one, nothing can be said of its age.
    local tier = self.fails and "memory" or "stale"
    for _, key in ipairs(keys) do
        if not err then
            self:check(tonumber(key), found[key], tier, at)
        end
    end
end

function One:write()
    local key = _M.own_key(self.number, self.writers)
    local version, deletes = self.book:begin(key)
    local ok, err
    if deletes then
        ok, err = self.cache:delete(tostring(key))
    else
        ok, err = self.cache:set(tostring(key), _M.make(key, version))
    end
    -- Neither what memory alone has nor what nobody knows is acknowledged.
    if ok ~= nil and not err then
        self.book:acknowledge(key, version)
        self.book:count(self.number, _M.WRITES)
    else
        if ok then
            self.book:queued(key, version)
        end
        self.book:count(self.number, _M.FAILED)
    end
end

--- A round of 40 operations.
function One:round(may_write)
    for _ = 1, 40 do
        local dice = math.random(100)
        if dice <= 12 and may_write then
            self:write()
        elseif dice <= 14 then
            self:get_many()
        elseif dice == 15 then
            self.cache:expire(tostring(_M.own_key(self.number, self.writers)), 1000)
        else
            self:get()
        end
    end
    self.book:count(self.number, _M.READS)
end

return _M
