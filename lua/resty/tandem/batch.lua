--- One run of a loader for many keys: a job for each of them, and their values stored in one
-- pipeline.
--
-- Whatever becomes of it, every job's flight is ended, once.

local C = require("resty.tandem.lib").C
local fleet = require "resty.tandem.fleet"
local host = require "resty.tandem.host"
local loads = require "resty.tandem.loader"
local many = require "resty.tandem.many"
local slowest = require "resty.tandem.slowest"
local text = require "resty.tandem.text"

local format = string.format
local pcall = pcall
local select = select
local type = type

local FIRST = C.TANDEM_FIRST

local _M = {}

local function fail_all(batch, err)
    for _, job in ipairs(batch.mine) do
        if not job.ended then
            loads.fail(job, err)
        end
    end
end

local function give_up(batch)
    batch.ended = true
    for _, job in ipairs(batch.jobs) do
        loads.give_up(job)
    end
end

-- -- Running -------------------------------------------------------------------------------------

local function store_all(batch)
    local ready = {}
    for _, job in ipairs(batch.mine) do
        if not job.ended then
            ready[#ready + 1] = job
        end
    end
    local outcomes = many.run(batch.cache, #ready, function(i, cork)
        local job = ready[i]
        return loads.start_store(job, cork + (job.is_first and FIRST or 0), many.result)
    end)
    for i, job in ipairs(ready) do
        loads.settle(job, outcomes[i].status, outcomes[i].tier)
    end
end

--- What a loader of many keys has returned of one.
-- @return as a loader of one: value; or nil, err
function _M.value_of(key, values, err)
    if err or values == nil then
        return nil, err
    elseif type(values) ~= "table" then
        return nil, "the loader must return a table of keys and values, got " .. text.show(values)
    end
    return values[key]
end

local function take_all(batch, ok, values, err, ttl, tags)
    for _, job in ipairs(batch.mine) do
        if ok then
            local value, why = _M.value_of(job.key, values, err)
            loads.take(job, true, value, why, ttl, tags)
        else
            loads.take(job, false, values)
        end
    end
    store_all(batch)
end

-- An array, and the same as a set.
local function keys_of(jobs)
    local keys, set = {}, {}
    for i, job in ipairs(jobs) do
        keys[i], set[job.key] = job.key, true
    end
    return keys, set
end

-- Does not raise.
local function work(batch)
    local ok, values, err, ttl, tags = loads.call(batch)
    if not batch.ended then
        local taken, problem = pcall(take_all, batch, ok, values, err, ttl, tags)
        if not taken then
            fail_all(batch, text.sentence(problem))
        end
    end
end

--- Runs it, and waits for it: then each of its jobs has value, err and tier.
-- @return those that have not, as another host makes them; their flights are still to be ended
function _M.run(batch)
    local settings = batch.settings
    local mine, held = fleet.share_out(batch.cache, batch.jobs, batch.gone)
    batch.mine = mine
    batch.arguments[1], batch.keys = keys_of(batch.mine)
    if #batch.mine > 0 and not host.call(batch, work, settings.hard_timeout) then
        batch.ended = true
        slowest.note(batch.core, batch.mine[1].key, settings.hard_timeout)
        fail_all(batch, format("the loader of %d keys took longer than hard_timeout, %.14g s",
                               #batch.mine, settings.hard_timeout / 1000))
    end
    return held
end

--- The same, of what is made anew while the old values are answered.
function _M.refresh(batch)
    for _, job in ipairs(_M.run(batch)) do
        loads.leave(job)
    end
    for _, job in ipairs(batch.jobs) do
        if job.err then
            loads.pause(job, job.err)
        end
    end
end

--- Has that done in the background.
-- @return true; or nil when that is not possible: then it has been given up
function _M.refresh_later(batch)
    batch.begin, batch.outer = _M.refresh, nil
    if host.later(batch) then
        return true
    end
    give_up(batch)
    return nil
end

-- -- Batches -------------------------------------------------------------------------------------

--- @param jobs of loader.lua, one at least, all of one cache
-- @param ... what the loader is called with, after the keys
function _M.new(jobs, settings, loader, ...)
    local keys, set = keys_of(jobs)
    local first = jobs[1]
    return {
        cache = first.cache, core = first.core, jobs = jobs, keys = set, settings = settings,
        loader = loader, n = 1 + select("#", ...), arguments = { keys, ... }, mine = jobs,
        outer = loads.outer(), gone = give_up, ended = false,
    }
end

return _M
