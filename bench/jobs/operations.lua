--- One operation after the other on each cache, one process: nanoseconds of CPU time a call.

local candidates = require "lib.candidates"
local clock = require "lib.clock"
local numbers = require "lib.numbers"

local SIZES = { 100, 1024, 10240 }
local KEYS = 1000
local FRESH = 40000 -- keys of the run of new ones, in caches that hold a part of them

local function keys_and_values(count, size, random)
    local keys, values = {}, {}
    for i = 1, count do
        keys[i] = string.format("key:%012d", i)
        values[i] = numbers.value(i, size)
    end
    return numbers.shuffle(keys, random), values
end

-- name -> function that makes the cache; each is asked for again in every round.
local function makers()
    local tandem = require "resty.tandem"
    local list = {
        { "tandem", function() return tandem.new("bench", { memory = "64m", near = false }) end },
        { "shdict", function() return ngx.shared.bench end },
        { "lrucache", function() return require("resty.lrucache").new(50000) end },
    }
    if pcall(require, "resty.tandem.near") then
        table.insert(list, { "near", function() return tandem.new("near", { memory = "64m" }) end })
    end
    if pcall(require, "resty.mlcache") then
        table.insert(list, { "mlcache", function()
            local cache = assert(require("resty.mlcache").new("bench", "mlcache", {
                lru_size = 50000, ipc_shm = "ipc",
            }))
            return cache
        end })
    end
    return list
end

local function timed(count, fn, ...)
    collectgarbage()
    collectgarbage("stop")
    local start = clock.cpu()
    local done = fn(...)
    local time = clock.cpu() - start
    collectgarbage("restart")
    if done ~= count then
        error(string.format("%d of %d calls did what they should", done, count))
    end
    return time / count * 1e9
end

-- With the collector running, as programs have it: what a call leaves behind is part of its price.
local function timed_with_collector(count, fn, ...)
    collectgarbage()
    local start = clock.cpu()
    local done = fn(...)
    local time = clock.cpu() - start
    if done ~= count then
        error(string.format("%d of %d calls did what they should", done, count))
    end
    return time / count * 1e9
end

local function note(result, what, size, name, ns)
    local row = what .. " " .. size
    result[row] = result[row] or {}
    result[row][name] = result[row][name] or {}
    table.insert(result[row][name], ns)
end

local function measure(result, name, cache, size, keys, values, budget)
    local ops = candidates.load(name, cache)
    local times = math.max(1, math.floor(budget / (1000 * (1 + size / 2000))))
    ops.set(keys, values, 1)
    ops.get(keys, 10) -- near admits on the second hit, or on a later one; and traces are made
    note(result, "get", size, name, timed_with_collector(#keys * times, ops.get, keys, times))
    if name == "near" then
        return
    end
    times = math.max(1, math.floor(times / 3))
    note(result, "set", size, name,
         timed_with_collector(#keys * times, ops.set, keys, values, times))
    if ops.delete then
        note(result, "delete", size, name, timed(#keys, ops.delete, keys))
    end
end

-- Keys that are not there, into caches that are full: room has to be made for each.
local function measure_new(result, name, cache, size, keys, values)
    if name == "tandem" or name == "shdict" then
        local ops = candidates.load(name, cache)
        note(result, "set of a new key", size, name,
             timed_with_collector(#keys, ops.set, keys, values, 1))
    end
end

-- Counters, as for limits of rate.
local function measure_incr(result, name, cache, keys, budget)
    if name == "tandem" or name == "shdict" then
        local ops = candidates.load(name, cache)
        local times = math.max(1, math.floor(budget / 3000))
        ops.delete(keys)
        ops.incr(keys, 1)
        note(result, "incr", 8, name, timed_with_collector(#keys * times, ops.incr, keys, times))
        ops.delete(keys)
    end
end

return function(args)
    local result, list = {}, makers()
    local random = numbers.random(1)
    for _, size in ipairs(SIZES) do
        local keys, values = keys_and_values(KEYS, size, random)
        for round = 1, args.rounds do
            for i = 1, #list do
                local name, make = unpack(list[(i + round) % #list + 1])
                jit.flush()
                measure(result, name, assert(make()), size, keys, values, args.budget)
                if size == SIZES[1] then
                    measure_incr(result, name, assert(make()), keys, args.budget)
                end
            end
        end
    end
    for _, size in ipairs { 100, 1024 } do
        local keys, values = {}, {}
        local number = 0
        for round = 1, args.rounds do
            for i = 1, #list do
                local name, make = unpack(list[(i + round) % #list + 1])
                for k = 1, FRESH do
                    number = number + 1
                    keys[k] = string.format("new:%012d", number)
                    values[k] = numbers.value(number, size)
                end
                jit.flush()
                measure_new(result, name, assert(make()), size, keys, values)
            end
        end
    end
    return result
end
