--- Miss ratios at the capacities of the reference: objects of equal size, read, and stored when
-- they were missed, as the reference was made.

local plot = require "lib.plot"
local replay = require "lib.replay"
local report = require "lib.report"
local traces = require "lib.traces"

local PERCENTS = { 1, 5, 10, 25 }
local SHOWN = { "LRU", "S3-FIFO", "SIEVE", "LIRS", "W-TinyLFU" }
local COPIED = 4e6 -- requests that copies of a trace may make in a quick run

local function cell_of(tandem, trace, reference, quick)
    local copies = replay.copies(reference.capacity)
    if quick and copies * trace.requests > COPIED then
        return nil
    end
    local cache, length, holds = replay.cache_of(tandem, reference.capacity * copies)
    local ratio = replay.run(cache, trace, copies, length)
    cache:close()
    collectgarbage()
    return { ratio = ratio, copies = copies, holds = holds / copies, value_length = length }
end

local function line(name, percent, cell, reference)
    local cells = {}
    for _, algorithm in ipairs(SHOWN) do
        cells[#cells + 1] = string.format("%9.4f", reference.ratios[algorithm] or 0 / 0)
    end
    report.say("  %-15s %3d %% %7d %3d %8.1f  %8.4f %s %9.4f %-9s %8.4f %+8.4f", name, percent,
               reference.capacity, cell.copies, cell.holds, cell.ratio, table.concat(cells),
               reference.best, reference.winner, reference.ratios.Belady,
               cell.ratio - reference.best)
end

local function curves(result, of)
    local plots = {}
    for _, name in ipairs(traces.names()) do
        if result[name] and next(result[name]) then
            local series = {}
            local function add(title, value_of, bold, dashed)
                local points = {}
                for _, percent in ipairs(PERCENTS) do
                    if result[name][tostring(percent)] then
                        points[#points + 1] = { of[name][percent].capacity, value_of(percent) }
                    end
                end
                series[#series + 1] = { name = title, points = points, bold = bold, dashed = dashed }
            end
            add("tandem", function(p) return result[name][tostring(p)].ratio end, true)
            for _, algorithm in ipairs(SHOWN) do
                add(algorithm, function(p) return of[name][p].ratios[algorithm] end)
            end
            add("Belady", function(p) return of[name][p].ratios.Belady end, false, true)
            plots[#plots + 1] = { title = name, series = series, log_x = true }
        end
    end
    return plots
end

local function measure(context)
    local of = traces.reference(context.traces)
    if not of then
        report.say("  there are no traces in %s (TANDEM_TRACES=folder)", context.traces)
        return nil
    end
    local tandem = require "resty.tandem"
    local result, excess, above_lru, cells = {}, 0, -math.huge, 0

    report.say("  %-15s %5s %7s %3s %8s  %8s %9s %9s %9s %9s %9s %9s %-9s %8s %8s", "trace", "size",
               "objects", "x", "held", "tandem", "LRU", "S3-FIFO", "SIEVE", "LIRS", "W-TinyLFU",
               "best", "online", "Belady", "excess")
    for _, name in ipairs(traces.names(context.quick)) do
        local trace = of[name] and traces.load(context.traces, name)
        result[name] = {}
        for _, percent in ipairs(trace and PERCENTS or {}) do
            local reference = of[name][percent]
            local cell = cell_of(tandem, trace, reference, context.quick)
            if cell then
                line(name, percent, cell, reference)
                result[name][tostring(percent)] = cell
                excess, cells = excess + cell.ratio - reference.best, cells + 1
                above_lru = math.max(above_lru, cell.ratio - reference.ratios.LRU)
            end
        end
    end
    plot.lines(context.results .. "/traces.svg", "Miss ratio by objects held", curves(result, of))
    report.target(string.format("mean excess over the best online policy, %d cells", cells),
                  excess / cells, 0, true)
    report.target("most above LRU", above_lru, 0.005, true)
    return result
end

return { needs = {}, run = measure }
