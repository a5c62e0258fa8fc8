--- fetch_multi: many values from memory, from Redis, or made by one run of a loader.
--
-- Of what neither tier has, the keys that nobody makes already are this call's: it holds their
-- flights, and gives all of them to the loader at once.  Those under way elsewhere are waited for
-- after that, so that of two calls that have some of each other's keys both go on.
--
-- @module resty.tandem.fetch_multi

local ffi = require "ffi"

local C = require("resty.tandem.lib").C
local arguments = require "resty.tandem.arguments"
local batches = require "resty.tandem.batch"
local events = require "resty.tandem.events"
local fetch = require "resty.tandem.fetch"
local fleet = require "resty.tandem.fleet"
local handles = require "resty.tandem.handles"
local host = require "resty.tandem.host"
local loads = require "resty.tandem.loader"
local many = require "resty.tandem.many"
local outcome = require "resty.tandem.outcome"
local reading = require "resty.tandem.reading"
local text = require "resty.tandem.text"

local error = error
local ipairs = ipairs
local look = reading.look
local select = select
local type = type

local MISS = C.TANDEM_MISS
local NOWAIT = C.TANDEM_NOWAIT
local STALE = C.TANDEM_STALE
local AGAIN = C.TANDEM_AGAIN
local NEGATIVE = C.TANDEM_TIER_NEGATIVE
local STORED = C.TANDEM_FLIGHT_STORED
local ABSENT = C.TANDEM_FLIGHT_ABSENT

local _M = {}

local result = ffi.new "tandem_result"

-- -- Sorting out ---------------------------------------------------------------------------------

-- A key that the tiers were asked for in vain: takes its flight, and looks at memory once more, for
-- it may know of an absence, have a value past its TTL, or what another flight has just stored.
-- Returns "own", "others", "known" or "failed"; a value (of "failed" why); and of "own" the job.
local function sort_out(call, key)
    local self, settings = call.self, call.settings
    local itself = loads.asks_itself(self.core, key)
    if itself then
        return "failed", itself
    end
    local is_own = fetch.begin(self, key, NOWAIT, settings, 0, result) ~= MISS
    local flight = result.ticket
    local value, _, tier, left = look(self, key, NOWAIT + STALE + AGAIN)
    local is_past = value ~= nil and left < 0
    if tier == NEGATIVE or value ~= nil and not is_past then
        if is_own then
            C.tandem_flight_end(self.core.handle, flight, value == nil and ABSENT or STORED, nil, 0)
        end
        return "known", value
    elseif is_past and -left * 1000 > settings.stale_ttl then
        value, is_past = nil, false
    end
    if not is_own then
        return "others", value
    end
    local job = loads.job(self, key, settings, flight)
    job.is_first = not is_past and not (call.errors and call.errors[key])
    return "own", value, job
end

-- Returns the jobs for what is to be made now, those for what is to be made anew in the background,
-- and the keys that others make.
local function sort_all(call, missing)
    local now, later, others = {}, {}, {}
    for _, key in ipairs(missing) do
        local kind, value, job = sort_out(call, key)
        if kind == "failed" then
            call:set(key, nil, value)
        elseif kind == "known" or value ~= nil then
            call:set(key, value)
        elseif kind == "others" then
            others[#others + 1] = key
        end
        if job and value == nil then
            now[#now + 1] = job
        elseif job and not loads.is_paused(call.self.core, key) then
            later[#later + 1] = job
        elseif job then
            loads.give_up(job)
        end
    end
    return now, later, others
end

-- -- Loading -------------------------------------------------------------------------------------

local function take_jobs(call, jobs)
    for _, job in ipairs(jobs) do
        if not job.err or call.values[job.key] == nil then
            call:set(job.key, job.value, job.err)
        end
        call.loaded[job.key] = job.tier == "loader"
    end
end

local function make_anew(call, jobs, loader, ...)
    local batch = batches.new(jobs, call.settings, loader, ...)
    if host.name == "plain" then
        for _, job in ipairs(batches.run(batch)) do
            loads.leave(job)
        end
        take_jobs(call, jobs)
    else
        batches.refresh_later(batch)
    end
end

-- The loader for a single key, as fetch has it.
local function for_one(key, loader)
    return function(...)
        local values, err, ttl, tags = loader({ key }, ...)
        local value, why = batches.value_of(key, values, err)
        return value, why, ttl, tags
    end
end

-- What other hosts make is waited for, one key after the other.  While one is, the flights of those
-- that come after it are in its charge, should the request be killed.
local function wait_for_others(jobs, loader, ...)
    for i, job in ipairs(jobs) do
        job.loader, job.n, job.arguments = for_one(job.key, loader), select("#", ...), { ... }
        job.gone = function()
            for j = i, #jobs do
                loads.give_up(jobs[j])
            end
        end
        fleet.run(job)
    end
end

local function load(call, missing, loader, ...)
    local now, later, others = sort_all(call, missing)
    if #later > 0 then
        C.tandem_count_refreshes(call.self.core.handle, #later)
        make_anew(call, later, loader, ...)
    end
    if #now > 0 then
        wait_for_others(batches.run(batches.new(now, call.settings, loader, ...)), loader, ...)
        take_jobs(call, now)
    end
    for _, key in ipairs(others) do
        local value, err, tier = fetch.load(call.self, key, call.settings, false,
                                            for_one(key, loader), ...)
        call:set(key, value, err)
        call.loaded[key] = tier == "loader"
    end
end

-- -- The method ----------------------------------------------------------------------------------

local Call = {}
Call.__index = Call

-- What there is of a key in the end.
function Call:set(key, value, err)
    self.values[key] = value
    if err or self.errors then
        self.errors = self.errors or {}
        self.errors[key] = err
    end
end

local function tell(core, keys, call)
    for i = 1, core.listeners and #keys or 0 do
        local key = keys[i]
        local is_hit = call.values[key] ~= nil and not call.loaded[key]
        events.tell(core, is_hit and "hit" or "miss", key)
    end
end

-- Reached by a tail call, so that level 2 is fetch_multi's caller.
local function fetch_many(self, keys, opts, loader, ...)
    if type(self) ~= "table" or not self.handle then
        error(arguments.not_open(self), 2)
    end
    local problem = arguments.keys(self, keys)
    if problem then
        error(problem, 2)
    elseif type(loader) ~= "function" then
        error("loader must be a function, got " .. text.show(loader), 2)
    elseif opts ~= nil and type(opts) ~= "table" then
        error("opts must be a table or nil, got " .. text.show(opts), 2)
    end
    local settings
    settings, problem = fetch.settings_of(self, opts)
    if problem then
        error(problem, 2)
    end
    local flags = many.read_flags(self)
    if not flags then
        return nil, outcome.no_wait()
    end

    local core, all, missing = self.core, many.distinct(keys), {}
    handles.enter(core)
    local values, errors, undecodable = many.look(self, all, flags)
    local call = setmetatable({ self = self, settings = settings, values = values, errors = errors,
                                loaded = {} }, Call)
    for _, key in ipairs(all) do
        if values[key] == nil and not (undecodable and undecodable[key]) then
            missing[#missing + 1] = key
        end
    end
    if #missing > 0 and host.may_wait() then
        load(call, missing, loader, ...)
    elseif #missing > 0 then
        for _, key in ipairs(missing) do
            call:set(key, nil, errors and errors[key] or outcome.no_load())
        end
    end
    tell(core, all, call)
    handles.leave(core)
    return values, many.sum_up(all, call.errors, "could not be had")
end

--- Looks many keys up as get_multi does, and has what neither tier has made by one call of a
--- loader, but for what somebody else of this host makes already.
---
--- opts may be left out.  They are those of fetch, for all keys; soft_timeout is of no account:
--- what is past its TTL is answered, and made anew in the background, by one call for all of it.
--- The loader is called with an array of the keys to be made, and what follows it here; it returns
--- a table: key -> value, without those of which there is none; or nil, err; thirdly a TTL in
--- seconds, fourthly an array of tags, as fetch has them, for all of them.
---
--- Returns a table: key -> value, without the keys of which there is none; and err when some could
--- not be had, the table then holding the others.  nil, err in init_by_lua* with Redis.
---@param self tandem.cache
---@param keys string[] a key may come twice
---@param opts tandem.fetch_options?
---@param loader tandem.multi_loader
---@param ... any what the loader is called with
---@return table<string, any>? values
---@return string? err
---@overload fun(self: tandem.cache, keys: string[], loader: tandem.multi_loader, ...): table?
function _M.fetch_multi(self, keys, opts, loader, ...)
    if type(opts) ~= "function" then
        return fetch_many(self, keys, opts, loader, ...)
    elseif loader == nil and select("#", ...) == 0 then
        return fetch_many(self, keys, nil, opts)
    end
    return fetch_many(self, keys, nil, opts, loader, ...)
end

return _M
