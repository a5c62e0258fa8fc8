--- What the fuzz targets in Lua share: numbers at random, bytes at random or made from a corpus,
-- and the loop.  As libFuzzer's programs they print how many inputs there were.
--
--   luajit spec/fuzz/TARGET_fuzz.lua SECONDS [SEED]

local _M = {}

local random = math.random
local now_ms = require("resty.tandem.lib").C.tandem_now_ms

--- One of a list.
function _M.one_of(list)
    return list[random(#list)]
end

function _M.bytes(most)
    local bytes = {}
    for i = 1, random(0, most) do
        bytes[i] = string.char(random(0, 255))
    end
    return table.concat(bytes)
end

-- What is done to an input: bytes changed, cut, doubled, or another's put in.
local CHANGES = {
    function(text, at)
        return text:sub(1, at - 1) .. string.char(random(0, 255)) .. text:sub(at + 1)
    end,
    function(text, at) return text:sub(1, at) end,
    function(text, at) return text:sub(at) end,
    function(text, at)
        return text:sub(1, at) .. text:sub(at, at + random(0, 8)) .. text:sub(at + 1)
    end,
    function(text, at)
        return text:sub(1, at) .. ("\255"):rep(random(1, 9)) .. text:sub(at + 1)
    end,
    function(text, at, other) return text:sub(1, at) .. other:sub(random(#other + 1)) end,
    function(text, at) return text:sub(1, at):rep(random(2, 40)) .. text:sub(at + 1) end,
}

--- An input made from one of a corpus.
function _M.mutate(corpus)
    local text = _M.one_of(corpus)
    for _ = 1, random(4) do
        text = _M.one_of(CHANGES)(text, random(#text + 1), _M.one_of(corpus)):sub(1, 4096)
    end
    return text
end

--- Calls target(step) until the time is over.  A target raises when something does not hold.
function _M.run(target)
    local seconds, seed = tonumber(arg[1]), tonumber(arg[2]) or os.time()
    assert(seconds, "usage: luajit spec/fuzz/TARGET_fuzz.lua SECONDS [SEED]")
    math.randomseed(seed)
    local ends, runs = now_ms() + seconds * 1000, 0
    while now_ms() < ends do
        for _ = 1, 100 do
            runs = runs + 1
            local ok, err = pcall(target, runs)
            if not ok then
                print(("input %d of seed %d: %s"):format(runs, seed, tostring(err)))
                os.exit(1)
            end
        end
    end
    print("stat::number_of_executed_units: " .. runs)
end

return _M
