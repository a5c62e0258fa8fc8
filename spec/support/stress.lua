--- A process that reads and writes keys without end, and checks that nothing it reads is too old.
--
--   luajit stress.lua LEDGER NUMBER WRITERS OPTIONS [FIRST LAST]
--
-- OPTIONS is a Lua table as text: of tandem.new, to be a worker of a host, whose processes have the
-- numbers FIRST to LAST; or { port =, prefix = } to be another program that writes to Redis.  Exits
-- with 1, having said so, at the first value that is wrong.

local ledger = require "spec.support.ledger"
local poll = require "posix.poll"
local resp = require "spec.support.resp"
local signal = require "posix.signal"

local number, writers = tonumber(arg[2]), tonumber(arg[3])
local options = assert(loadstring("return " .. arg[4]))()
local first, last = tonumber(arg[5]), tonumber(arg[6])
local book, wrong = ledger.open(arg[1]), ledger.wrong

local C = require("resty.tandem.lib").C
local COARSE_MS = 12 -- what the clock of hits may lag behind
local SETTLES_MS = 500 -- what a process that was killed had sent is with Redis after so long
local READS, WRITES, MEMORY, REDIS, STALE, FAILED = 0, 1, 2, 3, 4, 5

-- A third of the keys at a time: for what is kept wrongly to show, a key has to be left alone for
-- longer than anything old may be served.
local PHASE_MS = 1500

local function own_key()
    local phase = math.floor(C.tandem_now_ms() / PHASE_MS) % 3
    return (math.random(0, ledger.KEYS / writers / 3 - 1) * 3 + phase) * writers + number
end

local function make(key, version)
    return ("%d|%d|%s"):format(key, version, ("x"):rep(math.random(0, 200)))
end

math.randomseed(number * 7919 + C.tandem_now_ms() % 1e6)

-- -- Another program -----------------------------------------------------------------------------

local function foreign()
    signal.signal(signal.SIGPIPE, signal.SIG_IGN) -- its connection may be killed
    local client
    while true do
        client = client or resp.connect({ port = options.port })
        local sent = {}
        for i = 1, math.random(20) do
            local key = own_key()
            local version, deletes = book:begin(key)
            local name = options.prefix .. key
            sent[i] = { key = key, version = version,
                        command = deletes and resp.command("DEL", name)
                            or resp.command("SET", name, make(key, version)) }
        end
        local ok = client and pcall(function()
            for _, one in ipairs(sent) do
                client:write(one.command)
            end
            for _, one in ipairs(sent) do
                local answer = client:read(30)
                if type(answer) == "table" and answer.err then
                    wrong("Redis said", answer.err)
                end
                assert(answer ~= nil)
                book:acknowledge(one.key, one.version)
                book:count(number, WRITES)
            end
        end)
        if not ok and client then
            client:close()
            client = nil
        end
        book:count(number, READS)
        poll.poll({}, math.random(0, 8))
    end
end

if options.port then
    foreign()
end

-- -- A worker of a host --------------------------------------------------------------------------

local cache = assert(require("resty.tandem").new("stress", options))
local began_ms = C.tandem_now_ms()
local max_stale_ms = options.max_stale * 1000

local function check(key, value, tier, at)
    local writer, time = key % writers, at
    if tier == "stale" then
        return
    elseif tier == "memory" and (writer < first or writer > last) then
        time = at - max_stale_ms - COARSE_MS
    end
    local floor = book:floor(key, time)
    if not value then
        if not book:may_lack(key, floor) then
            wrong("absent:", key, "at least", floor)
        end
        return
    end
    local of, version = value:match("^(%d+)|(%d+)|")
    if tonumber(of) ~= key then
        wrong("the value of another key:", key, value)
    elseif tonumber(version) < floor then
        wrong("too old:", key, "has", version, "and", floor, "was acknowledged", tier, at)
    end
end

local TIERS = { memory = MEMORY, redis = REDIS, stale = STALE }

local function get()
    local key, at = math.random(0, ledger.KEYS - 1), C.tandem_now_ms()
    local value, err, tier = cache:get(tostring(key))
    if err then
        book:count(number, FAILED)
    else
        check(key, value, tier or "redis", at)
        book:count(number, TIERS[tier] or REDIS)
    end
end

local function get_many()
    local keys, at = {}, C.tandem_now_ms()
    for i = 1, 5 do
        keys[i] = tostring(math.random(0, ledger.KEYS - 1))
    end
    local found, err = cache:get_multi(keys)
    -- Which tier had each is not told: where it may be a stale one, nothing can be said.
    local tier = options.on_redis_error == "fail" and "memory" or "stale"
    for _, key in ipairs(keys) do
        if not err then
            check(tonumber(key), found[key], tier, at)
        end
    end
end

local function write()
    local key = own_key()
    local version, deletes = book:begin(key)
    local ok, err
    if deletes then
        ok, err = cache:delete(tostring(key))
    else
        ok, err = cache:set(tostring(key), make(key, version))
    end
    -- Neither what memory alone has nor what nobody knows is acknowledged.
    if ok ~= nil and not err then
        book:acknowledge(key, version)
        book:count(number, WRITES)
    else
        if ok then
            book:queued(key, version)
        end
        book:count(number, FAILED)
    end
end

while true do
    for _ = 1, 40 do
        local dice = math.random(100)
        if dice <= 12 and C.tandem_now_ms() - began_ms > SETTLES_MS then
            write()
        elseif dice <= 14 then
            get_many()
        elseif dice == 15 then
            cache:expire(tostring(own_key()), 1000)
        else
            get()
        end
    end
    book:count(number, READS)
    poll.poll({}, math.random(1, 4))
end
