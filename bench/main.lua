--- Runs the suites named, or all of them, and says which targets are held.
--
--   luajit bench/main.lua [SUITE...]
--
-- Started by bench/run, which knows where things are.  A suite is a file of bench/suites: a table
-- of `needs` (lib/needs.lua) and `run`, a function of the context below that returns what is to be
-- kept of it, or nil when there was nothing to be measured.

local bench = assert(os.getenv("BENCH_FOLDER"))
local build = assert(os.getenv("BENCH_BUILD"))
package.path = bench .. "/?.lua;" .. bench .. "/../lua/?.lua;" .. package.path
package.cpath = build .. "/?.so;" .. package.cpath

local clock = require "lib.clock"
local document = require "lib.document"
local files = require "lib.files"
local needs = require "lib.needs"
local process = require "lib.process"
local report = require "lib.report"

local SUITES = {
    "operations", "processes", "density", "memory", "core", "growth", "traces", "bytes", "redis",
    "coherence", "hits", "tags", "crowd", "fleet", "outage", "clear", "e2e", "scaling",
}

local output = assert(os.getenv("BENCH_OUTPUT"))
local context = {
    bench = bench,
    build = build,
    scratch = assert(os.getenv("BENCH_SCRATCH")),
    results = output .. "/results",
    quick = os.getenv("BENCH_QUICK") == "1",
    traces = os.getenv("TANDEM_TRACES") or bench .. "/../../shared/traces",
}

local function measure(name, run)
    local began = clock.wall()
    local result = run(context)
    if result then
        report.say("  (%.0f s)", clock.wall() - began)
        report.write(context.results, name, result, context.quick)
    else
        report.skip()
    end
end

local function run(name)
    local suite = require("suites." .. name)
    local lack = needs.lacking(suite.needs, build)
    report.begin(name)
    if lack then
        report.say("  %s", lack)
        return report.skip()
    end
    local ok, problem = xpcall(measure, debug.traceback, name, suite.run)
    process.stop_all()
    if not ok then
        report.fail(problem)
    end
end

local names = #arg > 0 and arg or SUITES
for _, name in ipairs(names) do
    if not files.read(bench .. "/suites/" .. name .. ".lua") then
        io.stderr:write(("bench/run: there is no suite %s; there are %s\n"):format(
            name, table.concat(SUITES, ", ")))
        os.exit(2)
    end
end
for _, name in ipairs(names) do
    run(name)
end
local ok, problem = pcall(document.write, output, SUITES)
if not ok then
    report.fail(problem)
end
os.exit(report.sum() and 0 or 1)
