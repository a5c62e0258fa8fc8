--- Single operations, one process.

local nginx = require "lib.nginx"
local numbers = require "lib.numbers"
local plot = require "lib.plot"
local report = require "lib.report"

local ORDER = { "near", "mlcache", "lrucache", "tandem", "shdict" }
local TITLES = {
    near = "tandem, near", tandem = "tandem, segment", shdict = "ngx.shared.DICT",
    lrucache = "lrucache", mlcache = "mlcache level 1",
}

local function table_of(result)
    local rows = {}
    for row in pairs(result) do
        rows[#rows + 1] = row
    end
    table.sort(rows, function(a, b)
        local what_a, size_a = a:match("^(.*) (%d+)$")
        local what_b, size_b = b:match("^(.*) (%d+)$")
        if what_a ~= what_b then
            return what_a < what_b
        end
        return tonumber(size_a) < tonumber(size_b)
    end)
    local line = "%-24s"
    report.say("  ns a call (median)")
    local names = {}
    for _, name in ipairs(ORDER) do
        names[#names + 1] = string.format("%16s", result["get 100"][name] and TITLES[name] or "")
    end
    report.say("  " .. line .. "%s", "", table.concat(names))
    for _, row in ipairs(rows) do
        local cells = {}
        for _, name in ipairs(ORDER) do
            local list = result[row][name]
            cells[#cells + 1] = string.format("%16s",
                                              list and string.format("%.0f", numbers.median(list))
                                              or "")
        end
        report.say("  " .. line .. "%s", row .. " B", table.concat(cells))
    end
    return rows
end

local function targets(result)
    local COPY = "the copy, in both, is most of it: a profile is in docs/performance.md"
    local LOCK = "a lock that survives its owner's death, waits for cache lines, the way there: a "
        .. "profile is in docs/performance.md"
    local PAGES = "each key's bucket is on a page of its own, which is waited for: a profile is in "
        .. "docs/performance.md"
    local VERSION = "the version in the segment, a cache line more than a table of its own needs"
    local function of(what, slow, fast, bound, row, why)
        local cells = result[row]
        if cells and cells[slow] and cells[fast] then
            report.target(what, report.ratio(cells[slow], cells[fast]), bound,
                          false, why)
        end
    end
    if result["get 100"].near and result["get 100"].mlcache then
        report.target("near hit against mlcache's level 1, 100 B",
                      report.ratio(result["get 100"].near, result["get 100"].mlcache), 1.0,
                      true, VERSION)
    end
    of("near hit, times faster than shdict, 100 B", "shdict", "near", 10, "get 100",
       VERSION)
    of("near hit, times faster than shdict, 10 KB", "shdict", "near", 60, "get 10240")
    of("segment hit, times faster than shdict, 100 B", "shdict", "tandem", 2, "get 100",
       PAGES)
    of("segment hit, times faster than shdict, 1 KB", "shdict", "tandem", 1.4, "get 1024")
    of("segment hit, times faster than shdict, 10 KB", "shdict", "tandem", 1.2, "get 10240")
    of("set, times faster than shdict, 100 B", "shdict", "tandem", 1.5, "set 100", LOCK)
    of("set, times faster than shdict, 1 KB", "shdict", "tandem", 1.5, "set 1024", COPY)
    of("set, times faster than shdict, 10 KB", "shdict", "tandem", 1.5, "set 10240", COPY)
    of("set of a new key, times faster than shdict, 100 B", "shdict", "tandem", 1.5,
       "set of a new key 100")
    of("set of a new key, times faster than shdict, 1 KB", "shdict", "tandem", 1.5,
       "set of a new key 1024", COPY)
end

local function measure(context)
    local result = nginx.run("operations", {
        rounds = context.quick and 2 or 15, budget = context.quick and 15000 or 150000,
    }, {
        folder = context.scratch, bench = context.bench,
        dicts = { bench = "64m", mlcache = "64m", ipc = "1m" },
    })
    local rows = table_of(result)
    local bars = {}
    for _, row in ipairs(rows) do
        for _, name in ipairs(ORDER) do
            if result[row][name] then
                bars[#bars + 1] = { row .. " B, " .. TITLES[name],
                                    numbers.median(result[row][name]), name }
            end
        end
    end
    plot.bars(context.results .. "/operations.svg", "ns a call, one process", bars)
    targets(result)
    return { ns = result }
end

return { needs = { "nginx" }, run = measure }
