--- tandem list: the segments of this host.

local find = require "resty.tandem.tool.find"
local json = require "resty.tandem.tool.json"
local show = require "resty.tandem.tool.show"
local terminal = require "resty.tandem.tool.terminal"

return function(_, options)
    local segments, refused = find.all(options.runtime_dir)
    table.sort(segments, function(a, b) return a.name < b.name end)
    for _, segment in ipairs(segments) do
        if options.json then
            terminal.say(json.encode(segment))
        else
            terminal.say("%s", ("%-20s %10s  %-9s %s"):format(show.text(segment.name, 40),
                show.size(segment.bytes), segment.with_redis and "Redis" or "no Redis",
                show.text(segment.path)))
        end
    end
    if refused then
        terminal.complain("there are others that this user may not look at")
    elseif #segments == 0 then
        terminal.complain("no segment is in use on this host")
    end
    return 0
end
