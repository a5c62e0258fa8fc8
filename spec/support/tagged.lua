--- A worker of a host that fetches, sets and invalidates tagged values without end, and checks that
-- nothing it reads was made before an invalidation that it must know of.
--
--   luajit tagged.lua LEDGER NUMBER WRITERS OPTIONS FIRST LAST
--
-- The keys of the ledger are tags, and a version of one is an invalidation.  A value says which was
-- the latest that had begun when it was made.  OPTIONS is a table of tandem.new as text; the
-- host's processes have the numbers FIRST to LAST.  Exits with 1, having said so, at the first
-- wrong value.

local ledger = require "spec.support.ledger"
local poll = require "posix.poll"

local number, writers = tonumber(arg[2]), tonumber(arg[3])
local options = assert(loadstring("return " .. arg[4]))()
local first, last = tonumber(arg[5]), tonumber(arg[6])
local book, wrong = ledger.open(arg[1]), ledger.wrong

local C = require("resty.tandem.lib").C
local COARSE_MS = 12 -- what the clock of hits may lag behind
local SETTLES_MS = 500 -- what a process that was killed had sent is with Redis after so long
local KEYS = 5 -- of each tag
local READS, FETCHES, LOADS, SETS, INVALIDATIONS, FAILED = 0, 1, 2, 3, 4, 5

local cache = assert(require("resty.tandem").new("tagged", options))
local began_ms = C.tandem_now_ms()

math.randomseed(number * 7919 + began_ms % 1e6)

local function make(tag)
    return ("%d|%d|%s"):format(tag, book:begun(tag), ("x"):rep(math.random(0, 200)))
end

local function names(tag)
    return { "all", "t" .. tag }
end

local function load(tag)
    book:count(number, LOADS)
    local value = make(tag)
    poll.poll({}, math.random(0, 3) == 0 and 1 or 0)
    return value, nil, nil, { "t" .. tag }
end

-- Of an invalidation by its own host a process knows at once, of others' by their messages.
local function check(tag, value, tier, at)
    local writer = tag % writers
    local knows = tier ~= "memory" or writer >= first and writer <= last
    local floor = book:floor(tag, knows and at or at - options.max_stale * 1000 - COARSE_MS)
    local of, version = value:match("^(%d+)|(%d+)|")
    if tonumber(of) ~= tag then
        wrong("the value of another tag:", tag, value)
    elseif tonumber(version) < floor then
        wrong("made before an invalidation:", tag, "at", version, "and", floor, "was acknowledged",
              tier, at)
    end
end

local function fetch()
    local tag, at = math.random(0, ledger.KEYS - 1), C.tandem_now_ms()
    local key = tag .. "." .. math.random(KEYS)
    local value, err, tier = cache:fetch(key, { tags = { "all" } }, load, tag)
    if value then
        check(tag, value, tier, at)
    end
    book:count(number, err and FAILED or FETCHES)
end

local function own_tag()
    return math.random(0, ledger.KEYS / writers - 1) * writers + number
end

local function set()
    local tag = own_tag()
    local ok, err = cache:set(tag .. "." .. math.random(KEYS), make(tag), math.random(2) * 100,
                              { tags = names(tag) })
    book:count(number, ok and not err and SETS or FAILED)
end

local function invalidate()
    local tag = own_tag()
    local version = book:begin(tag)
    local ok, err = cache:invalidate_tag("t" .. tag)
    if ok and not err then
        book:acknowledge(tag, version)
        book:count(number, INVALIDATIONS)
    else
        book:count(number, FAILED)
    end
end

while true do
    for _ = 1, 40 do
        local dice = math.random(100)
        if dice > 10 or C.tandem_now_ms() - began_ms < SETTLES_MS then
            fetch()
        elseif dice > 5 then
            set()
        else
            invalidate()
        end
    end
    book:count(number, READS)
    poll.poll({}, math.random(1, 4))
end
