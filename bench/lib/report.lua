--- What a run has found: rows for reading, targets held or short, files for other programs.

local json = require "cjson"

local files = require "lib.files"
local machine = require "lib.machine"
local numbers = require "lib.numbers"

local _M = {}

local held, short, skipped, failed = 0, 0, 0, 0
local said, targets = {}, {} -- by the suite that runs

function _M.say(...)
    local line = string.format(...)
    said[#said + 1] = line
    print(line)
    io.stdout:flush()
end

--- A suite begins.
function _M.begin(name)
    _M.say("\n== %s", name)
    said, targets = {}, {}
end

--- A target of DESIGN.md's table, or one of ours.
-- @param at_most true: value is to be at most bound; else at least
-- @param why where it has been short, the reason that a profile gives
function _M.target(what, value, bound, at_most, why)
    local good = at_most and value <= bound or not at_most and value >= bound
    if good then
        held = held + 1
    else
        short = short + 1
    end
    _M.say("  %-5s %s: %.3f (%s %.3f)", good and "held" or "SHORT", what, value,
           at_most and "at most" or "at least", bound)
    if why and not good then
        _M.say("        %s", why)
    end
    targets[#targets + 1] = {
        what = what, value = value, bound = bound, at_most = at_most or false, held = good,
    }
end

--- What the suite that runs was to measure is not here to be measured.
function _M.skip()
    skipped = skipped + 1
    _M.say("  skipped")
end

--- The suite that runs cannot go on.
function _M.fail(problem)
    failed = failed + 1
    _M.say("  FAILED %s", problem)
end

--- Says how it went in all; returns whether nothing failed.
function _M.sum()
    _M.say("")
    _M.say("bench: %d targets held, %d short; of the suites %d skipped, %d failed", held, short,
           skipped, failed)
    return failed == 0
end

--- How many times faster or slower: the median of the rounds' ratios.
function _M.ratio(slow, fast)
    local list = {}
    for i = 1, math.min(#slow, #fast) do
        list[i] = slow[i] / fast[i]
    end
    return numbers.median(list)
end

--- A suite has ended: what it measured and said, for lib/document.lua and for other programs.
function _M.write(folder, name, result, quick)
    files.write(folder .. "/" .. name .. ".json", json.encode {
        suite = name, quick = quick, date = os.date("!%Y-%m-%d"), machine = machine.describe(),
        said = said, targets = targets, result = result,
    } .. "\n")
end

return _M
