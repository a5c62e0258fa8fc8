--- Running the user's loader, and what becomes of what it returns: bytes in both tiers, a
-- remembered absence, or an error.
--
-- A job is one run for one flight; a batch (batch.lua) is one run for many.  Whatever becomes of a
-- job, its flight is ended, once, so that those who wait for it go on.  In the end it has value,
-- err and tier, as fetch returns them.

local ffi = require "ffi"

local C = require("resty.tandem.lib").C
local arguments = require "resty.tandem.arguments"
local codec = require "resty.tandem.codec"
local events = require "resty.tandem.events"
local handles = require "resty.tandem.handles"
local host = require "resty.tandem.host"
local options = require "resty.tandem.options"
local outcome = require "resty.tandem.outcome"
local pending = require "resty.tandem.pending"
local random = require "resty.tandem.random"
local reading = require "resty.tandem.reading"
local slowest = require "resty.tandem.slowest"
local text = require "resty.tandem.text"
local timing = require "resty.tandem.timing"

local format = string.format
local min = math.min
local look = reading.look
local pcall = pcall
local running = coroutine.running
local select = select
local sentence = text.sentence
local setmetatable = setmetatable
local traceback = debug.traceback
local type = type
local unpack = unpack
local xpcall = xpcall

local TIERS = outcome.TIERS
local OK = C.TANDEM_OK
local MISS = C.TANDEM_MISS
local PENDING = C.TANDEM_PENDING
local DEGRADED = C.TANDEM_DEGRADED
local FROM_REDIS = C.TANDEM_TIER_REDIS
local FIRST = C.TANDEM_FIRST
local AGAIN = C.TANDEM_AGAIN
local STORED = C.TANDEM_FLIGHT_STORED
local ABSENT = C.TANDEM_FLIGHT_ABSENT
local UNKEPT = C.TANDEM_FLIGHT_UNKEPT
local FAILED = C.TANDEM_FLIGHT_FAILED
local GONE = C.TANDEM_FLIGHT_GONE

local PAUSE_MS = 1000       -- after a refresh has failed, this worker tries no other for so long
local MOST_PAUSED = 10000   -- keys of which that is remembered

local _M = {}

-- Filled and read with no yield, and nothing that allocates, in between.
local result = ffi.new "tandem_result"

-- -- Which loaders run in this Lua VM ------------------------------------------------------------

local MAIN = {} -- stands for the main program of plain LuaJIT, which is no coroutine

-- coroutine -> the job whose loader it runs; that job's `outer` is the one whose loader asked.
local loading = setmetatable({}, { __mode = "k" })

--- Is the loader of this very key what asks?  Then to wait for it would be to wait for oneself.
function _M.asks_itself(core, key)
    local job = loading[running() or MAIN]
    while job do
        if job.core == core and (job.key == key or job.keys and job.keys[key]) then
            return format('the loader of key "%s" fetches that key itself', text.shorten(key))
        end
        job = job.outer
    end
end

--- How long a loader of this cache takes, on average, in ms; nil when that is not known yet.
function _M.duration(core)
    return core.load_ms
end

-- -- The end of a job ----------------------------------------------------------------------------

-- Ends the flight, which wakes who waits for it.
local function finish(job, how, err)
    if not job.ended then
        job.ended = true
        local core = job.core
        if core.handle then
            C.tandem_flight_end(core.handle, job.flight, how, err, err and #err or 0)
        end
        handles.leave(core)
    end
end

local function fail(job, err)
    job.value, job.err, job.tier = nil, err, nil
    finish(job, FAILED, err)
    if job.core.listeners then
        events.tell(job.core, "loader_error", job.key, err)
    end
end

local function gone(job)
    finish(job, GONE)
end

-- -- What a loader returns -----------------------------------------------------------------------

local function explain(err)
    return traceback(sentence(err), 2)
end

-- Seconds, as a loader returned them.  Returns ms; or nil, and what is wrong if something is.
local function ttl_of(job, seconds)
    -- What a loader returns may be what a get or fetch of another key returned.
    if seconds == nil or outcome.is_tier[seconds] then
        return nil
    elseif type(seconds) == "number" and seconds < 0 then
        return -1
    end
    local ms, must = options.check_ttl(seconds)
    if not ms then
        return nil, format('the TTL that the loader of key "%s" returned %s, got %s',
                           text.shorten(job.key), must, text.show(seconds))
    end
    return ms
end

-- The tags that the options and the loader give, as C wants them; or nil, and what is wrong.
local function tags_of(job, tags)
    local settings = job.settings
    if tags == nil or not job.cache.tags then
        return settings.tags
    end
    local label = format('the tags that the loader of key "%s" returned', text.shorten(job.key))
    return arguments.tags(job.cache, tags, label, settings.tag_list)
end

local function absent(job, ms, tags)
    local settings = job.settings
    ms = ms or settings.neg_ttl
    local told
    if ms > 0 then
        ms = timing.jitter(ms, settings.jitter, random())
        local status = C.tandem_flight_absent(job.core.handle, job.flight, ms, tags, #tags, result)
        -- How long other hosts may remember it (fleet.lua): of its tags they know the caller's.
        told = status == OK and tags == settings.tags and format("%d", ms) or nil
    end
    job.tier = "loader"
    finish(job, ABSENT, told)
end

-- Begins to store what was prepared.  Returns a status.
local function start_store(job, flags, into)
    local bytes, tags = job.bytes, job.tags
    return C.tandem_flight_store(job.core.handle, job.flight, bytes, #bytes, job.ms, tags, #tags,
                                 flags, into)
end

-- Returns a status and what it is about.
local function store(job, flags)
    local status = start_store(job, flags, result)
    if status == PENDING then
        local done = pending.finish(job.cache, result.ticket)
        return done.status, done.tier
    end
    return status, result.tier
end

-- Another host has stored a value since this one asked Redis: that is the answer, unless it is past
-- its TTL already or cannot be read.
local function take_theirs(job)
    local value, _, tier = look(job.cache, job.key, AGAIN)
    if value ~= nil then
        job.value, job.tier = value, TIERS[tier]
        return true
    end
end

--- Takes what another host has stored, if it can be had: then the job has ended.
-- @return true
function _M.take_stored(job)
    if take_theirs(job) then
        finish(job, STORED)
        return true
    end
end

--- Takes another host's word that there is no such value.
-- @param ms how long it may be remembered; 0: not at all
function _M.take_absence(job, ms)
    absent(job, min(ms, job.settings.neg_ttl), job.settings.tags)
    job.tier = "negative"
end

--- Takes another host's error.
function _M.take_failure(job, err)
    job.value, job.err, job.tier = nil, err, nil
    finish(job, FAILED, err)
end

-- What is to be stored of a value: job.bytes, .ms and .tags.  Nothing, if the job has ended.
local function prepare(job, value, ms, tags)
    local cache, settings = job.cache, job.settings
    local bytes, err = cache.encode(value)
    if not bytes then
        return fail(job, format('what the loader of key "%s" returned cannot be cached: %s',
                                text.shorten(job.key), err))
    end
    job.tier = "loader"
    if cache.frozen then
        value = cache.decode(bytes)
    end
    job.value = value
    ms = ms or settings.ttl
    if ms < 0 then
        return finish(job, UNKEPT)
    end

    job.bytes, job.ms, job.tags = bytes, timing.jitter(ms, settings.jitter, random()), tags
end

-- The end of a job whose value was to be stored, and of which that came.
local function settle(job, status, tier)
    if status == MISS and tier == FROM_REDIS then
        if take_theirs(job) then
            return finish(job, STORED)
        end
        status = store(job, 0)
    end
    if status == OK or status == DEGRADED then
        return finish(job, STORED)
    end
    -- What is not stored is still an answer.  After a change those who wait begin anew.
    return finish(job, status == MISS and GONE or UNKEPT)
end

-- What the loader returned of the job's key.  Ends the job, or prepares it.
local function take(job, ok, value, err, ttl, tags)
    if not ok then
        return fail(job, format('the loader of key "%s" raised: %s', text.shorten(job.key), value))
    elseif err then
        return fail(job, sentence(err))
    end
    local ms, problem = ttl_of(job, ttl)
    if not problem then
        tags, problem = tags_of(job, tags)
    end
    if problem then
        return fail(job, problem)
    end
    if value == nil or codec.is_null(value) then
        return absent(job, ms, tags)
    end
    return prepare(job, value, ms, tags)
end

--- The same, and does not raise: what does, codecs say, is the job's error.
function _M.take(job, ...)
    local ok, problem = pcall(take, job, ...)
    if not ok then
        fail(job, sentence(problem))
    end
end

-- Calls the loader of a job, or of a batch.
local function call_loader(job)
    local me, core = running() or MAIN, job.core
    local outer = loading[me]
    loading[me] = job
    local began = C.tandem_now_ms()
    local ok, value, err, ttl, tags = xpcall(job.loader, explain, unpack(job.arguments, 1, job.n))
    loading[me] = outer
    local took = C.tandem_now_ms() - began
    if ok and not err and not job.ended then
        core.load_ms = timing.average(core.load_ms, took)
    end
    slowest.note(core, job.key or job.jobs[1].key, took)
    return ok, value, err, ttl, tags
end

local function take_and_store(job, ...)
    take(job, ...)
    if not job.ended then
        settle(job, store(job, job.is_first and FIRST or 0))
    end
end

-- Does not raise.
local function work(job)
    local ok, value, err, ttl, tags = call_loader(job)
    if not job.ended then
        local taken, problem = pcall(take_and_store, job, ok, value, err, ttl, tags)
        if not taken then
            fail(job, sentence(problem))
        end
    end
end

-- -- Jobs ----------------------------------------------------------------------------------------

--- A job for a flight that tandem_flight_begin has given to the caller.
-- @param settings as fetch has them, in ms
-- @param ... what the loader is called with
function _M.job(cache, key, settings, flight, loader, ...)
    handles.enter(cache.core)
    return {
        cache = cache, core = cache.core, key = key, settings = settings, flight = flight,
        loader = loader, n = select("#", ...), arguments = { ... }, ended = false,
        outer = loading[running() or MAIN], gone = gone, is_first = false, enough = true,
        is_refresh = false, value = nil, err = nil, tier = nil,
    }
end

--- Runs it, and waits for it.
function _M.run(job)
    local settings = job.settings
    if not host.call(job, work, settings.hard_timeout) then
        slowest.note(job.core, job.key, settings.hard_timeout)
        fail(job, format('the loader of key "%s" took longer than hard_timeout, %.14g s',
                         text.shorten(job.key), settings.hard_timeout / 1000))
    end
    return job.value, job.err, job.tier
end

-- This worker tries no refresh of the job's key for a while.
local function rest(job)
    local core = job.core
    if core.paused_count >= MOST_PAUSED then
        core.paused, core.paused_count = {}, 0
    end
    core.paused[job.key] = C.tandem_now_ms() + PAUSE_MS
    core.paused_count = core.paused_count + 1
end

--- A refresh has failed: no other is tried for a while.  (If it was left, that is so already.)
function _M.pause(job, err)
    if job.left then
        return
    end
    rest(job)
    host.log("warn", format('cache "%s": a refresh has failed: %s', job.cache.name, err),
             job.cache.name .. "refresh")
end

local function run_later(job)
    local _, err = job.run(job)
    if err then
        _M.pause(job, err)
    end
end

--- The end of a refresh that another host makes: what there is is good enough meanwhile, and no
-- other is tried for a while.
function _M.leave(job)
    job.err, job.left = "another host makes it", true
    rest(job)
    gone(job)
end

--- Has it run in the background.
-- @param run as run
-- @return true; or nil when that is not possible: then it is as if it had not been made
function _M.run_later(job, run)
    job.begin, job.run = run_later, run
    job.outer = nil
    if host.later(job) then
        return true
    end
    return nil
end

--- Ends a job that was not run.
_M.give_up = gone

-- What a batch (batch.lua) does with many jobs.
_M.call, _M.start_store, _M.settle, _M.fail = call_loader, start_store, settle, fail

--- The job whose loader asks, of a batch or a job that is about to begin.
function _M.outer()
    return loading[running() or MAIN]
end

--- Has a refresh of this key failed just now?
function _M.is_paused(core, key)
    local paused = core.paused
    return paused[key] and C.tandem_now_ms() < paused[key]
end

return _M
