--- Entries and bytes held by caches of 64 MiB.

local nginx = require "lib.nginx"
local report = require "lib.report"

local function measure(context)
    local result = nginx.run("density", {
        size = "64m", small = 800000, mixed = 90000, replaced = context.quick and 100000 or 2000000,
    }, {
        folder = context.scratch, bench = context.bench,
        dicts = { small = "64m", mixed = "64m" },
    })
    local small, mixed = result.small, result.mixed
    for _, row in ipairs { { "16 B keys, 100 B values", small },
                           { "values of 10 B to 10 KB", mixed } } do
        report.say("  %-26s tandem %7d entries, %9d bytes of values; shdict %7d, %9d", row[1],
                   row[2].tandem.entries, row[2].tandem.value_bytes, row[2].shdict.entries,
                   row[2].shdict.value_bytes)
    end
    report.say("  the latter, with entry_size       %7d entries, %9d bytes of values",
               result.told.entries, result.told.value_bytes)
    local m = small.memory
    report.say("  live %d + dead %d + free %d = capacity %d of %d bytes", m.live_bytes, m.dead_bytes,
               m.free_bytes, m.capacity_bytes, m.segment_bytes)
    m = result.replaced
    report.say("  after many replacements: live %d, dead %d, free %d; %d evictions", m.live_bytes,
               m.dead_bytes, m.free_bytes, m.evictions)
    local overhead = (64 * 1048576 - small.tandem.entries * 116) / small.tandem.entries
    report.target("entries held, 16 B keys and 100 B values, against shdict's",
                  small.tandem.entries / small.shdict.entries, 1.5)
    report.target("bytes beside keys and values, an entry", overhead, 48, true)
    report.target("bytes of values held, 10 B to 10 KB, against shdict's",
                  mixed.tandem.value_bytes / mixed.shdict.value_bytes, 1.25, false,
                  "without entry_size there are slots for entries of 116 bytes")
    report.target("the same, with entry_size",
                  result.told.value_bytes / mixed.shdict.value_bytes, 1.25)
    return result
end

return { needs = { "nginx" }, run = measure }
