--- One loader for all hosts (lock = "redis"): is the owner of a host's flight the one that is to
-- load?
--
-- It asks Redis for the key's lock.  Who does not get it waits until whoever has it is done, and
-- takes what that has made: a value from Redis, or else what was left of it in the lock.  Where
-- Redis cannot be asked, the host's flight is enough.

local ffi = require "ffi"

local C = require("resty.tandem.lib").C
local host = require "resty.tandem.host"
local loads = require "resty.tandem.loader"
local many = require "resty.tandem.many"
local pending = require "resty.tandem.pending"

local byte = string.byte
local sub = string.sub

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
        return "held"
    elseif how == ANSWERED then
        if loads.take_stored(job) then
            return nil
        end
        job.enough = false -- what there is cannot be read, or is gone already
        return "again"
    elseif how == LEFT then
        local left = byte(answer.bytes) - ZERO
        if left == ABSENT then
            return loads.take_absence(job)
        elseif left == FAILED then
            return loads.take_failure(job, sub(answer.bytes, 2))
        end
    end
    return "load"
end

-- -- One job -------------------------------------------------------------------------------------

-- Waits until there is reason to ask again.  Returns nil when there is no more waiting.
local function wait(job, ms)
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

-- Sets job.elsewhere when another has made what was to be made, or makes it.
local function compete(job)
    local deadline = C.tandem_now_ms() + job.settings.lock_timeout
    for _ = 1, ROUNDS do
        local what = heed(job, ask(job.cache, { job })[1])
        if what == nil then
            job.elsewhere = true
            return
        elseif what == "load" then
            return
        elseif what == "held" and job.impatient then
            job.elsewhere, job.err = true, "another host makes it"
            return loads.give_up(job)
        elseif what == "held" and not wait(job, deadline - C.tandem_now_ms()) then
            return
        end
    end
end

--- Runs a job as resty.tandem.loader does, unless another host has made, or makes, what it is to
-- make.
--
-- job.enough: what is in Redis and not past its TTL is an answer.  job.impatient: it does not wait
-- for another host: then it ends with an error.
-- @return job.value, .err, .tier
function _M.run(job)
    if job.cache.lock == "redis" and not job.alone then
        host.call(job, compete, job.settings.lock_timeout + job.cache.wait_ms + GRACE_MS)
        if job.elsewhere then
            return job.value, job.err, job.tier
        end
    end
    return loads.run(job)
end

-- -- Many ----------------------------------------------------------------------------------------

--- Of jobs of one cache, those that are to be run here.  Of the others some have ended; those that
-- another host makes have been given up, and have held = true.
-- @return an array
function _M.choose(cache, jobs)
    local mine = {}
    if cache.lock ~= "redis" then
        return jobs
    end
    local answers = ask(cache, jobs)
    for i, job in ipairs(jobs) do
        local what = heed(job, answers[i])
        if what == "load" then
            mine[#mine + 1] = job
        elseif what then
            job.held = true
            loads.give_up(job)
        end
    end
    return mine
end

return _M
