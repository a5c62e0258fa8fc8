--- One loader for all hosts (lock = "redis"): is the owner of a host's flight the one that is to
-- load?
--
-- It asks Redis for the key's lock.  Who does not get it waits until whoever has it is done, and
-- takes what that has made: a value from Redis, or else what was left of it in the lock.  Where
-- Redis cannot be asked, the host's flight is enough.
--
-- Of a job (loader.lua) this uses
--   enough      what is in Redis and not past its TTL is an answer
--   is_refresh  nobody waits for it: it is left to another host
--   deadline    tandem_now_ms() until which it waits for another host
--   alone       it is to be loaded whoever does it already

local ffi = require "ffi"

local C = require("resty.tandem.lib").C
local host = require "resty.tandem.host"
local loads = require "resty.tandem.loader"
local many = require "resty.tandem.many"
local pending = require "resty.tandem.pending"

local byte = string.byte
local max = math.max
local sub = string.sub
local tonumber = tonumber

local OK = C.TANDEM_OK
local PENDING = C.TANDEM_PENDING
local HELD = C.TANDEM_FLEET_HELD
local LEFT = C.TANDEM_FLEET_LEFT
local ANSWERED = C.TANDEM_FLEET_ANSWERED
local ABSENT = C.TANDEM_FLIGHT_ABSENT
local FAILED = C.TANDEM_FLIGHT_FAILED
local ZERO = byte("0")

local GRACE_MS = 1000   -- a lock is held so much longer than its loader may take
local ROUNDS = 1000     -- of asking, before loading without the lock

local _M = {}

-- Filled and read with no yield, and nothing that allocates, in between.
local result = ffi.new "tandem_result"

-- -- Asking --------------------------------------------------------------------------------------

-- Asks for the locks of many jobs at once.  Returns an array of what pending.take returns.
local function ask(cache, jobs)
    return many.run(cache, #jobs, function(i, cork)
        local job = jobs[i]
        return C.tandem_fleet_lock(job.core.handle, job.flight,
                                   job.settings.hard_timeout + cache.wait_ms + GRACE_MS,
                                   job.enough and cache.settings.stale_ttl or -1, cork, many.result)
    end)
end

-- What Redis said of a job's lock.  Returns "load"; "held"; "again"; or nil: the job has ended.
local function heed(job, answer)
    local how = answer.status == OK and answer.count
    if how == HELD then
        job.enough = true -- what that host makes is
        return "held"
    elseif how == ANSWERED then
        if loads.take_stored(job) then
            return nil
        end
        job.enough = false -- what there is cannot be read, or is gone already
        return "again"
    elseif how == LEFT then
        local left, rest = byte(answer.bytes) - ZERO, sub(answer.bytes, 2)
        if left == ABSENT then
            return loads.take_absence(job, tonumber(rest) or 0)
        elseif left == FAILED then
            return loads.take_failure(job, rest)
        end
    end
    return "load"
end

-- -- One job -------------------------------------------------------------------------------------

-- Waits until there is reason to ask again.  Returns nil when there is no more waiting.
local function wait(job)
    local ms = job.deadline - C.tandem_now_ms()
    if ms <= 0 then
        return nil
    end
    local status = C.tandem_fleet_wait(job.core.handle, job.flight, ms, result)
    if status ~= PENDING then
        return nil
    end
    pending.finish(job.cache, result.ticket, ms + GRACE_MS)
    return true
end

-- Ends the job if another host has made what it is to make, or is left to make it.
local function compete(job)
    for _ = 1, ROUNDS do
        local what = heed(job, ask(job.cache, { job })[1])
        if what == "held" and job.is_refresh then
            return loads.leave(job)
        elseif what == nil or what == "load" or what == "held" and not wait(job) then
            return
        end
    end
end

--- Runs a job as resty.tandem.loader does, unless another host has made, or makes, what it is to
-- make.
-- @return job.value, .err, .tier
function _M.run(job)
    if job.cache.lock == "redis" and not job.alone then
        local now = C.tandem_now_ms()
        job.deadline = job.deadline or now + job.settings.lock_timeout
        host.call(job, compete, max(job.deadline - now, 0) + job.cache.wait_ms + GRACE_MS)
        if job.ended then
            return job.value, job.err, job.tier
        end
        C.tandem_flight_restart(job.core.handle, job.flight)
    end
    return loads.run(job)
end

-- -- Many ----------------------------------------------------------------------------------------

-- run.held: those that another host makes.
local function choose(run)
    local answers = ask(run.cache, run.jobs)
    for i, job in ipairs(run.jobs) do
        if heed(job, answers[i]) == "held" then
            run.held[#run.held + 1] = job
            job.held = true
        end
    end
end

--- Asks for the locks of many jobs of one cache.
-- @param jobs an array; some may have ended when it returns
-- @param gone as host.call has it
-- @return those that are to be run here, and those that another host makes
function _M.share_out(cache, jobs, gone)
    if cache.lock ~= "redis" then
        return jobs, {}
    end
    local run = { cache = cache, jobs = jobs, gone = gone, held = {} }
    host.call(run, choose, cache.wait_ms + GRACE_MS)
    local mine = {}
    for _, job in ipairs(jobs) do
        if not job.ended and not job.held then
            C.tandem_flight_restart(job.core.handle, job.flight)
            mine[#mine + 1] = job
        end
    end
    return mine, run.held
end

return _M
