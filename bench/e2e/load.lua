-- For wrk: documents by Zipf's law, read or written, the same in every run of a seed.
--
--   BENCH_FOLDER=bench wrk ... -s load.lua URL -- KEYS SEED PART_OF_WRITES

local bench = os.getenv("BENCH_FOLDER")

dofile(bench .. "/redis/latency.lua") -- says what was measured

local DRAWN = 100000

local requests, at = {}, 0

function init(args) -- luacheck: ignore
    package.path = bench .. "/?.lua;" .. package.path
    local numbers = require "lib.numbers"
    local random = numbers.random(tonumber(args[2]))
    local writes = tonumber(args[3])
    local draw = numbers.zipf(tonumber(args[1]), 1, random)
    for i = 1, DRAWN do
        local method = random() < writes and "PUT" or "GET"
        requests[i] = wrk.format(method, "/documents/" .. draw()) -- luacheck: ignore
    end
end

function request() -- luacheck: ignore
    at = at % DRAWN + 1
    return requests[at]
end
