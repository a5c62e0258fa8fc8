--- From a thousand entries to ten million: what a get and a first set cost.

local json = require "cjson"
local plot = require "lib.plot"
local report = require "lib.report"

local function measure(context)
    local result, get, floor, set = {}, {}, {}, {}
    for power = 3, context.quick and 5 or 7 do
        local entries = 10 ^ power
        local pipe = assert(io.popen(string.format("%s/bench/core %d %g 8", context.build, entries,
                                                   context.quick and 0.3 or 1)))
        local row = json.decode(pipe:read("*a"))
        pipe:close()
        result["10^" .. power] = row
        get[#get + 1] = { entries, row.random_get }
        set[#set + 1] = { entries, row.first_set }
        floor[#floor + 1] = { entries, row.random_floor }
        report.say("  %8d entries of 8 B: random get %4.0f ns, two loads %4.0f, first set %4.0f",
                   entries, row.random_get, row.random_floor, row.first_set)
    end
    plot.lines(context.results .. "/growth.svg", "ns a call by entries, values of 8 B", { {
        title = "from C", log_x = true, log_y = true, series = {
            { name = "random get", points = get, bold = true },
            { name = "first set", points = set },
            { name = "two loads and the copy", points = floor, dashed = true },
        },
    } })
    return result
end

return { needs = { "bench/core" }, run = measure }
