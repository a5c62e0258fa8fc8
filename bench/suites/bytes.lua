--- Miss ratios at equal bytes, everything that is not a value counted: beside ngx.shared.DICT,
-- which is least-recently-used.

local nginx = require "lib.nginx"
local plot = require "lib.plot"
local report = require "lib.report"
local traces = require "lib.traces"

local LEAST = 1048576
local MOST_REQUESTS = 4e6

-- Sizes at which a dictionary holds about these parts of a trace's objects.
local PARTS = { 0.05, 0.1, 0.25 }
local ENTRY = { [100] = 256, [1024] = 1360 } -- bytes of one in a dictionary, its key included

local function rows_of(trace, quick)
    local rows = {}
    for _, value in ipairs { 100, 1024 } do
        for _, part in ipairs(PARTS) do
            local one = trace.unique * part * ENTRY[value]
            local copies = math.max(1, math.ceil(LEAST / one))
            local most = (quick and 0.03 or 1) * MOST_REQUESTS
            rows[#rows + 1] = {
                name = string.format("b%d_%d", value, part * 100), value = value, part = part,
                bytes = math.ceil(one * copies / 4096) * 4096, copies = copies,
                requests = math.min(trace.requests, math.ceil(most / copies)),
            }
        end
    end
    return rows
end

local function measure(context)
    if not traces.reference(context.traces) then
        report.say("  there are no traces in %s (TANDEM_TRACES=folder)", context.traces)
        return nil
    end
    local result, worst, plots = {}, -math.huge, {}
    report.say("  %-15s %6s %6s %10s %3s  %8s %8s %8s", "trace", "value", "part", "bytes", "x",
               "tandem", "shdict", "less")
    for _, name in ipairs(traces.names(context.quick)) do
        local trace = traces.load(context.traces, name)
        if trace then
            local rows, dicts, lines = rows_of(trace, context.quick), {}, {}
            for _, row in ipairs(rows) do
                dicts[row.name] = tostring(row.bytes)
            end
            trace = nil -- luacheck: ignore
            collectgarbage()
            local answer = nginx.run("bytes", {
                folder = context.traces, trace = name, rows = rows,
            }, {
                folder = context.scratch, bench = context.bench, dicts = dicts,
            })
            for _, row in ipairs(rows) do
                local cell = answer[row.name]
                row.tandem, row.shdict = cell.tandem, cell.shdict
                worst = math.max(worst, cell.tandem - cell.shdict)
                report.say("  %-15s %6d %4d %% %10d %3d  %8.4f %8.4f %8.4f", name, row.value,
                           row.part * 100, row.bytes, row.copies, cell.tandem, cell.shdict,
                           cell.shdict - cell.tandem)
                for _, who in ipairs { "tandem", "shdict" } do
                    local key = who .. ", " .. row.value .. " B"
                    if not lines[key] then
                        lines[key] = { name = key, points = {}, bold = who == "tandem" }
                        table.insert(lines, lines[key])
                    end
                    table.insert(lines[key].points, { row.part * 100, cell[who] })
                end
            end
            plots[#plots + 1] = { title = name, log_x = true, series = lines }
            result[name] = rows
        end
    end
    plot.lines(context.results .. "/bytes.svg",
               "Miss ratio at equal bytes, by the part of the objects a dictionary of them holds, %",
               plots)
    report.target("equal bytes, most above ngx.shared.DICT on any trace", worst, 0, true,
                  "where nearly all fits, least-recently-used keeps a newcomer longer")
    return result
end

return { needs = { "nginx" }, run = measure }
