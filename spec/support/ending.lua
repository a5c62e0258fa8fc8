--- The end of a stress test: every host has of every key what Redis has, and that stays so.

local ledger = require "spec.support.ledger"
local luassert = require "luassert"
local remote = require "spec.support.remote"
local run = require "spec.support.run"

-- Whatever memory has as fresh, and whatever it answers.
local LOOK = ([[
    local has, gets, fresh = {}, {}, 0
    for key = 0, %d do
        local _, _, value = cache:peek(tostring(key))
        has[key] = value or false
        fresh = fresh + (value and 1 or 0)
    end
    for key = 0, %d do
        gets[key] = cache:get(tostring(key)) or false
    end
    local stats = cache:stats()
    return { has = has, gets = gets, fresh = fresh, state = stats.tracking.state,
             replayed = stats.redis.replayed }
]]):format(ledger.KEYS - 1, ledger.KEYS - 1)

local function differing(look, values)
    for key = 0, ledger.KEYS - 1 do
        if look.gets[key] ~= values[key] or look.has[key] and look.has[key] ~= values[key] then
            return key
        end
    end
end

local _M = {}
local Ends = {}
Ends.__index = Ends

--- A process of each host.
-- @param options_of a function of a host's number: options of tandem.new as text
-- @param truth a function: what Redis has, by key, false for nothing
function _M.open(hosts, options_of, truth)
    local self = setmetatable({ truth = truth }, Ends)
    for host = 1, hosts do
        self[host] = remote.start()
        self[host]:eval(("cache = assert(require('resty.tandem').new('stress', %s))")
                        :format(options_of(host)))
    end
    return self
end

--- Waits until all are equal to Redis, by a lease.
function Ends:await(seconds)
    run.wait_until("every host is equal to Redis, under a lease", function()
        local values = self.truth()
        for _, host in ipairs(self) do
            local look = host:call(LOOK)
            if look.state ~= "on" or look.fresh < ledger.KEYS / 3 or differing(look, values) then
                return false
            end
        end
        return true
    end, seconds)
end

--- It has stayed so, and those processes end.
function Ends:close()
    local values = self.truth()
    for number, host in ipairs(self) do
        local look = host:call(LOOK)
        local key = differing(look, values)
        luassert.is_nil(key, key and ("host %d, key %d: memory %s, get %s, Redis %s"):format(number,
            key, tostring(look.has[key]), tostring(look.gets[key]), tostring(values[key])))
        host:stop()
    end
end

return _M
