--- 90 % get, 10 % set, keys by Zipf's law, by one process and by two at once: calls a second.

local candidates = require "lib.candidates"
local clock = require "lib.clock"
local numbers = require "lib.numbers"

-- apart: each process has a cache of its own, so that nothing is shared but the machine.
local NAMES = { "tandem", "shdict", "apart" }

local _M = {}

--- In the master: both workers inherit the segment.
function _M.init(args)
    local tandem = require "resty.tandem"
    local function new(name)
        return assert(tandem.new(name, { memory = args.size, near = false }))
    end
    _M.tandem, _M.apart = new "bench", { [0] = new "bench0", new "bench1" }
end

local function cache_of(name, id)
    if name == "shdict" then
        return ngx.shared.bench
    end
    return name == "apart" and _M.apart[id] or _M.tandem
end

-- Waits until as many processes as there are have come by.
local function meet(name, workers)
    local meeting = ngx.shared.meeting
    meeting:incr(name, 1, 0)
    while meeting:get(name) < workers do
        ngx.sleep(0)
    end
end

local function prepare(args, seed)
    local random = numbers.random(seed)
    local zipf = numbers.zipf(args.keys, 0.99, random)
    local picks = {}
    for i = 1, args.calls do
        picks[i] = random() < 0.1 and -zipf() or zipf()
    end
    return picks
end

local function time(ops, keys, values, picks)
    local start = clock.wall()
    ops.mixed(keys, values, picks)
    return clock.wall() - start
end

function _M.run(args)
    local id, meeting = ngx.worker.id(), ngx.shared.meeting
    local keys, values = {}, {}
    for i = 1, args.keys do
        keys[i] = string.format("key:%012d", i)
        values[i] = numbers.value(i, args.value)
    end
    local picks = prepare(args, 17 + id)
    local result = { one = {}, two = {} }

    for round = 1, args.rounds do
        for turn = 1, #NAMES do
            local name = NAMES[(turn + round) % #NAMES + 1]
            local key = name .. round
            jit.flush()
            local ops = candidates.load(name == "apart" and "tandem" or name, cache_of(name, id))
            if id == 0 or name == "apart" then
                ops.set(keys, values, 1)
            end
            ops.mixed(keys, values, picks) -- makes traces
            meet(key .. " filled", 2)
            if id == 0 then
                result.one[name] = result.one[name] or {}
                table.insert(result.one[name], args.calls / time(ops, keys, values, picks))
            end
            meet(key .. " alone", 2)
            meeting:set(key .. " took " .. id, time(ops, keys, values, picks))
            meet(key .. " both", 2)
            if id == 0 then
                local slowest = math.max(meeting:get(key .. " took 0"),
                                         meeting:get(key .. " took 1"))
                result.two[name] = result.two[name] or {}
                table.insert(result.two[name], 2 * args.calls / slowest)
            end
        end
    end
    meet("the end", 2)
    return result
end

return _M
