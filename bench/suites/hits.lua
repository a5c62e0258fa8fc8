--- Instructions of a hit, by callgrind: what does not depend on how busy the machine is.
--
-- Those of a run with more hits less those of one with fewer, over the difference.

local report = require "lib.report"

local FEW, MANY = 20000, 120000 -- hits

local function count(context, what, n)
    local out = context.scratch .. "/callgrind.out"
    local command = string.format(
        "LUA_PATH='%s/../lua/?.lua;;' valgrind --tool=callgrind --smc-check=all-non-file"
        .. " --callgrind-out-file=%s %s %s/jobs/hit.lua %s %d 2>&1", context.bench, out,
        os.getenv("LUAJIT") or "luajit", context.bench, what, n)
    local pipe = assert(io.popen(command))
    local said = pipe:read("*a")
    pipe:close()
    return assert(tonumber(said:match("Collected : (%d+)")), said)
end

local function measure(context)
    local result = {}
    for _, what in ipairs { "near_c", "near", "segment" } do
        result[what] = (count(context, what, MANY) - count(context, what, FEW)) / (MANY - FEW)
    end
    report.say("  instructions of a hit: near %.1f, of which in C %.1f; in the segment, 100 B, %.1f",
               result.near, result.near_c, result.segment)
    return result
end

return { needs = { "valgrind" }, run = measure }
