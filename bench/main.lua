--- Runs the suites named, or all of them, and says which targets are held.
--
--   luajit bench/main.lua [SUITE...]
--
-- Started by bench/run, which knows where things are.

local bench = assert(os.getenv("BENCH_FOLDER"))
package.path = bench .. "/?.lua;" .. bench .. "/../lua/?.lua;" .. package.path

local document = require "lib.document"
local report = require "lib.report"

local SUITES = {
    "operations", "processes", "density", "memory", "core", "growth", "traces", "bytes", "redis",
    "coherence", "hits", "tags", "fleet", "clear", "e2e",
}

local context = {
    bench = bench,
    build = os.getenv("BENCH_BUILD") or bench .. "/../build",
    scratch = assert(os.getenv("BENCH_SCRATCH")),
    results = bench .. "/results",
    quick = os.getenv("BENCH_QUICK") == "1",
    traces = os.getenv("TANDEM_TRACES") or bench .. "/../../shared/traces",
}

local names = #arg > 0 and arg or SUITES
for _, name in ipairs(names) do
    report.begin(name)
    local result = require("suites." .. name)(context)
    if result then
        report.write(context.results, name, result, context.quick)
    end
end
document.write(bench, SUITES)
report.sum()
