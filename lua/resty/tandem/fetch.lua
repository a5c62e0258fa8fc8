--- fetch: a value from memory, from Redis, or made by a loader, once for all who ask meanwhile.
--
-- Whoever makes it holds the key's flight, of which a host has one (tandem_flight_begin); the
-- others wait for its outcome, which is everybody's.
-- A value past its TTL, if there is one, is answered instead of waiting, and while a flight makes a
-- new one in the background.
--
-- @module resty.tandem.fetch

local ffi = require "ffi"

local C = require("resty.tandem.lib").C
local arguments = require "resty.tandem.arguments"
local fleet = require "resty.tandem.fleet"
local handles = require "resty.tandem.handles"
local host = require "resty.tandem.host"
local loads = require "resty.tandem.loader"
local near_table = require "resty.tandem.near"
local options = require "resty.tandem.options"
local outcome = require "resty.tandem.outcome"
local pending = require "resty.tandem.pending"
local random = require "resty.tandem.random"
local reading = require "resty.tandem.reading"
local text = require "resty.tandem.text"
local timing = require "resty.tandem.timing"

local byte = string.byte
local error = error
local find = near_table.find
local format = string.format
local ipairs = ipairs
local look = reading.look
local select = select
local read_flags = host.read_flags
local sub = string.sub
local type = type

local OK = C.TANDEM_OK
local MISS = C.TANDEM_MISS
local PENDING = C.TANDEM_PENDING
local MORE = C.TANDEM_MORE
local NOWAIT = C.TANDEM_NOWAIT
local STALE = C.TANDEM_STALE
local ALONE = C.TANDEM_ALONE
local AGAIN = C.TANDEM_AGAIN
local IS_STALE = C.TANDEM_TIER_STALE
local NEGATIVE = C.TANDEM_TIER_NEGATIVE
local STORED = C.TANDEM_FLIGHT_STORED
local ABSENT = C.TANDEM_FLIGHT_ABSENT
local UNKEPT = C.TANDEM_FLIGHT_UNKEPT
local FAILED = C.TANDEM_FLIGHT_FAILED
local HASH = arguments.RESERVED_FIRST
local RESERVED, RESERVED_LENGTH = arguments.RESERVED, arguments.RESERVED_LENGTH
local TIERS = outcome.TIERS

local GRACE_MS = 1000   -- a flight is given up so long after its loader must have ended
local ROUNDS = 100      -- flights waited for, or lost, before loading without one

local _M = {}

-- Filled and read with no yield, and nothing that allocates, in between.
local result = ffi.new "tandem_result"

-- -- Settings ------------------------------------------------------------------------------------

local NAMES = { "ttl", "neg_ttl", "stale_ttl", "jitter", "refresh_ahead", "lock_timeout",
                "soft_timeout", "hard_timeout" }

--- What a cache's fetches go by, unless their opts say otherwise.
-- @param checked what options.check returned
function _M.settings(checked)
    local settings = {}
    for _, name in ipairs(NAMES) do
        settings[name] = checked[name]
    end
    settings.tags = ""
    return settings
end

--- Those of a call.
-- @return the settings; or nil and what is wrong with opts
local function settings_of(self, opts)
    local ours = self.settings
    if opts == nil then
        return ours
    end
    local settings, problem = options.check_fetch(opts)
    if not settings then
        return nil, problem
    end
    settings.tag_list, settings.tags = opts.tags, ""
    if opts.tags ~= nil then
        settings.tags, problem = arguments.tags(self, opts.tags, "opts.tags")
    end
    if problem then
        return nil, problem
    elseif settings.stale_ttl and settings.stale_ttl > ours.stale_ttl then
        return nil, format("opts.stale_ttl must not be more than the cache's, %.14g, got %s",
                           ours.stale_ttl / 1000, text.show(opts.stale_ttl))
    end
    for _, name in ipairs(NAMES) do
        if settings[name] == nil then
            settings[name] = ours[name]
        end
    end
    return settings
end

-- -- Flights -------------------------------------------------------------------------------------

--- Begins a flight.
-- into: a tandem_result; that of fetch, if nil.
-- @return a status; the flight or ticket is in the result
local function begin(self, key, flags, settings, wait_ms, into)
    local keep = settings.hard_timeout + self.wait_ms + GRACE_MS
    if self.lock == "redis" then
        keep = keep + settings.lock_timeout + self.wait_ms + GRACE_MS
    end
    return C.tandem_flight_begin(self.core.handle, key, #key, flags, keep, wait_ms, into or result)
end

-- Waits for another's flight.  Returns its outcome, nil when that was not to be had in time, and
-- with FAILED what the loader said.
local function await(self, ticket, ms)
    local done = pending.finish(self, ticket, ms + GRACE_MS)
    if done.status == OK then
        return done.count, done.bytes
    end
end

-- Is what a look found an answer that needs no loader?
local function is_fresh(value, tier)
    return value ~= nil and tier ~= IS_STALE or tier == NEGATIVE
end

-- -- Loading -------------------------------------------------------------------------------------

-- deadline: until when it may wait for another host; nil: it is loaded whoever does so already.
local function run(self, key, settings, is_first, deadline, loader, ...)
    local job = loads.job(self, key, settings, result.ticket, loader, ...)
    job.is_first, job.deadline, job.alone = is_first, deadline, not deadline
    return fleet.run(job)
end

-- Nothing is there to be answered: the loader's outcome, or that of who runs it already.
-- is_first: Redis has said that it has no such key.
local function load(self, key, settings, is_first, loader, ...)
    local deadline = C.tandem_now_ms() + settings.lock_timeout
    local flags = self.flags or 0
    -- Who waits for another host may load itself afterwards.
    local patience = deadline + (self.lock == "redis" and settings.lock_timeout or 0)

    for _ = 1, ROUNDS do
        local left = patience - C.tandem_now_ms()
        if left <= 0 then
            break
        end
        local status = begin(self, key, 0, settings, left)
        if status == PENDING then
            local how, err = await(self, result.ticket, left)
            if how == ABSENT then
                return nil, nil, "negative"
            elseif how == FAILED then
                return nil, err
            elseif how == UNKEPT or how == nil then
                break
            end
            status = how == STORED and MORE or MISS
        elseif status ~= MORE then
            return run(self, key, settings, is_first, deadline, loader, ...)
        end
        if status == MORE then
            local value, err, tier = look(self, key, flags + STALE + AGAIN)
            if is_fresh(value, tier) then
                return value, nil, TIERS[tier]
            elseif err then
                break
            end
        end
    end
    begin(self, key, ALONE, settings, 0)
    return run(self, key, settings, is_first, nil, loader, ...)
end

--- What neither tier has: made by the loader, or by who runs it already.
-- is_first: Redis has said that it has no such key.
-- @return as fetch
local function load_or_say_why(self, key, settings, is_first, loader, ...)
    local itself = loads.asks_itself(self.core, key)
    if itself then
        return nil, itself
    end
    local core = self.core
    handles.enter(core)
    local value, err, tier = load(self, key, settings, is_first, loader, ...)
    handles.leave(core)
    return value, err, tier
end

_M.settings_of, _M.begin, _M.load = settings_of, begin, load_or_say_why

-- -- Refreshing ----------------------------------------------------------------------------------

-- Has a value made anew, if nobody does already: in the background, or, where there is none, here.
-- Returns the job when it has been run here.
local function refresh(self, key, settings, flags, loader, ...)
    local core = self.core
    if loads.is_paused(core, key) or begin(self, key, NOWAIT + flags, settings, 0) ~= OK then
        return nil
    end
    local job = loads.job(self, key, settings, result.ticket, loader, ...)
    C.tandem_count_refreshes(core.handle, 1)
    job.enough = flags == STALE -- else what there is is to be replaced before its end
    job.is_refresh = true
    if loads.run_later(job, fleet.run) then
        return nil
    elseif host.name == "plain" then
        fleet.run(job)
        return job
    end
    loads.give_up(job)
end

-- A value past its TTL is at hand.
local function refresh_stale(self, key, settings, value, loader, ...)
    local job = refresh(self, key, settings, STALE, loader, ...)
    if job and not job.err then
        return job.value, nil, job.tier
    end
    local soft = settings.soft_timeout
    if soft and soft > 0 and not job and host.may_wait()
       and not loads.is_paused(self.core, key) then
        local status = begin(self, key, 0, settings, soft)
        if status == PENDING and await(self, result.ticket, soft) == STORED or status == MORE then
            local fresh, _, tier = look(self, key, (self.flags or 0) + STALE + AGAIN)
            if is_fresh(fresh, tier) then
                return fresh, nil, TIERS[tier]
            end
        elseif status == OK then
            C.tandem_flight_end(self.core.handle, result.ticket, C.TANDEM_FLIGHT_GONE, nil, 0)
        end
    end
    return value, nil, "stale"
end

-- How long before its end a value is made anew this time, in ms; 0 when nothing is known yet.
local function draw(core, refresh_ahead)
    local duration = loads.duration(core)
    return duration and timing.lead(duration, refresh_ahead, random()) or 0
end

-- -- The method ----------------------------------------------------------------------------------

-- Everything but a near hit.  lead: what a near hit that was not good enough has drawn.  Reached by
-- a tail call, so that level 2 is fetch's caller.
local function fetch_far(self, lead, key, opts, loader, ...)
    if type(self) ~= "table" or not self.handle then
        error(arguments.not_open(self), 2)
    elseif type(key) ~= "string"
       or byte(key, 1) == HASH and sub(key, 1, RESERVED_LENGTH) == RESERVED then
        error(arguments.key(self, key), 2)
    elseif type(loader) ~= "function" then
        error("loader must be a function, got " .. text.show(loader), 2)
    elseif opts ~= nil and type(opts) ~= "table" then
        error("opts must be a table or nil, got " .. text.show(opts), 2)
    end
    local flags = self.flags or read_flags()
    if not flags then
        return nil, outcome.no_wait()
    end

    local value, err, tier, left, undecodable = look(self, key, flags + STALE)
    local is_stale = tier == IS_STALE
    if value ~= nil and not is_stale and left <= 0 then
        return value, nil, TIERS[tier]
    elseif tier == NEGATIVE then
        return nil, nil, "negative"
    elseif undecodable then
        return nil, err
    end

    local ahead = opts and opts.refresh_ahead or self.refresh_ahead
    if value ~= nil and not is_stale and ahead == 0 then
        return value, nil, TIERS[tier]
    end
    local settings, problem = settings_of(self, opts)
    if problem then
        error(problem, 2)
    end

    if value ~= nil and not is_stale then
        if (lead or draw(self.core, ahead)) < left * 1000 then
            return value, nil, TIERS[tier]
        end
        local job = refresh(self, key, settings, 0, loader, ...)
        if job and not job.err then
            return job.value, nil, job.tier
        end
        return value, nil, TIERS[tier]
    elseif value ~= nil and left >= 0 then
        return value, nil, "stale" -- but for Redis, which cannot be asked, it would be fresh
    elseif value ~= nil and -left * 1000 <= settings.stale_ttl then
        return refresh_stale(self, key, settings, value, loader, ...)
    end
    if not host.may_wait() then
        return nil, err or outcome.no_load()
    end
    local is_first = value == nil and not err and not is_stale
    return load_or_say_why(self, key, settings, is_first, loader, ...)
end

--- Looks a key up as get does, and has what neither tier has made by a loader: once, whoever else
--- of this host asks for it meanwhile.
---
--- opts may be left out.  The loader is called with what follows it, and returns the value, or nil
--- when there is none; or nil, err; thirdly a TTL in seconds, which precedes opts.ttl, less than 0:
--- not to be kept; fourthly an array of tags beside opts.tags.
---
--- Returns value, nil, tier: as get, "loader" when the loader has just made it, "stale" when it is
--- past its TTL; or nil, nil, "negative" or "loader" when the loader said that there is none; or
--- nil, err.
---@param self tandem.cache
---@param key string
---@param opts tandem.fetch_options?
---@param loader tandem.loader
---@param ... any what the loader is called with
---@return any value
---@return string? err
---@return "memory"|"redis"|"stale"|"negative"|"loader"? tier
---@overload fun(self: tandem.cache, key: string, loader: tandem.loader, ...): any, string?, string?
function _M.fetch(self, key, opts, loader, ...)
    local lead
    local near = self.near
    if near then
        local i = find(near, key)
        if i then
            local ahead = self.refresh_ahead
            if type(opts) == "table" then
                ahead = opts.refresh_ahead or ahead
            end
            if ahead == 0 then
                return near.values[i], nil, "memory"
            end
            lead = type(ahead) == "number" and draw(self.core, ahead) or 0
            if C.tandem_now_ms() + lead < near.entries[i].fresh_until then
                return near.values[i], nil, "memory"
            end
        end
    end
    if type(opts) ~= "function" then
        return fetch_far(self, lead, key, opts, loader, ...)
    elseif loader == nil and select("#", ...) == 0 then
        return fetch_far(self, lead, key, nil, opts)
    end
    return fetch_far(self, lead, key, nil, opts, loader, ...)
end

return _M
