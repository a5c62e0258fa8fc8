--- The memory room from C: a random get over a million entries, held against the memory itself.

local json = require "cjson"
local report = require "lib.report"

local function measure(context)
    local seconds = context.quick and 0.5 or 8
    local pipe = assert(io.popen(string.format("%s/bench/core 1000000 %g", context.build, seconds)))
    local result = json.decode(pipe:read("*a"))
    pipe:close()
    report.say("  ns a call: first set %.0f, random get %.0f, two dependent loads and the copy %.0f",
               result.first_set, result.random_get, result.random_floor)
    for _, size in ipairs { 100, 1024, 10240 } do
        report.say("  hot, %5d B: get %.0f, set %.0f", size, result["hot_get_" .. size],
                   result["hot_set_" .. size])
    end
    report.target("random get over 1 M entries, against two dependent loads and the copy",
                  result.random_get / result.random_floor, 1.5, true)
    return result
end

return { needs = { "bench/core" }, run = measure }
