--- tandem verify: does a segment hold together?

local json = require "resty.tandem.tool.json"
local segments = require "resty.tandem.tool.segment"
local show = require "resty.tandem.tool.show"
local terminal = require "resty.tandem.tool.terminal"

local SUMMED = { "slots", "entries", "expired", "absences", "bytes", "unsettled", "busy_shards",
                 "orphaned_shards", "damaged" }

return function(words, options)
    local segment = segments.open(words[1], options)
    local sum, first, shard = {}, nil, 0
    for _, name in ipairs(SUMMED) do
        sum[name] = 0
    end
    while true do
        local found, sentence = segment:verify(shard)
        if not found then
            break
        end
        for _, name in ipairs(SUMMED) do
            sum[name] = sum[name] + found[name]
        end
        first = first or sentence ~= "" and sentence or nil
        shard = shard + 1
    end
    local sound = sum.damaged == 0
    if options.json then
        sum.shards, sum.sound, sum.first = shard, sound, first
        terminal.say("%s", json.encode(sum))
        return sound and 0 or 1
    end
    terminal.say("%s", ("%s entries of %s in %s shards; %s expired, %s known absences"):format(
        show.count(sum.entries), show.size(sum.bytes), show.count(shard), show.count(sum.expired),
        show.count(sum.absences)))
    if sum.unsettled + sum.busy_shards > 0 then
        terminal.say("%s", ("written all the time, and not judged: %s slots, the sums of %s shards")
            :format(show.count(sum.unsettled), show.count(sum.busy_shards)))
    end
    if sum.orphaned_shards > 0 then
        terminal.say("%s", ("%s shards were left by a writer that died: the next one empties them")
            :format(show.count(sum.orphaned_shards)))
    end
    terminal.say("%s", sound and terminal.paint("green", "sound")
        or terminal.paint("red", show.count(sum.damaged) .. " things are damaged; the first: ")
        .. show.text(first))
    return sound and 0 or 1
end
