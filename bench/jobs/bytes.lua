--- Miss ratios in equal bytes: a segment of so many beside an ngx.shared.DICT of so many.

local replay = require "lib.replay"
local traces = require "lib.traces"

return function(args)
    local tandem = require "resty.tandem"
    local trace = traces.load(args.folder, args.trace)
    local result = {}
    for _, row in ipairs(args.rows) do
        local cache = assert(tandem.new(row.name, { memory = row.bytes, near = false }))
        local shdict = ngx.shared[row.name]
        result[row.name] = {
            tandem = replay.run(cache, trace, row.copies, row.value, row.requests),
            shdict = replay.run(shdict, trace, row.copies, row.value, row.requests),
        }
        cache:close()
        shdict:flush_all()
        collectgarbage()
    end
    return result
end
