--- What a run has found: rows for reading, targets held or short, files for other programs.

local json = require "cjson"
local numbers = require "lib.numbers"

local _M = {}

local held, short = 0, 0

function _M.say(...)
    print(string.format(...))
    io.stdout:flush()
end

--- A target of DESIGN.md's table, or one of ours.
function _M.target(what, value, bound, at_most)
    local good = at_most and value <= bound or not at_most and value >= bound
    if good then
        held = held + 1
    else
        short = short + 1
    end
    _M.say("  %-5s %s: %.3f (%s %.3f)", good and "held" or "SHORT", what, value,
           at_most and "at most" or "at least", bound)
    return { what = what, value = value, bound = bound, at_most = at_most or false, held = good }
end

function _M.sum()
    _M.say("")
    _M.say("bench: %d targets held, %d short", held, short)
end

--- How many times faster or slower: the median of the rounds' ratios.
function _M.ratio(slow, fast)
    local list = {}
    for i = 1, math.min(#slow, #fast) do
        list[i] = slow[i] / fast[i]
    end
    return numbers.median(list)
end

function _M.write(folder, name, result)
    local file = assert(io.open(folder .. "/" .. name .. ".json", "wb"))
    file:write(json.encode(result), "\n")
    file:close()
end

return _M
