--- tandem get, tandem ttl: one entry, looked at without counting as a lookup.

local input = require "resty.tandem.tool.input"
local json = require "resty.tandem.tool.json"
local segments = require "resty.tandem.tool.segment"
local show = require "resty.tandem.tool.show"
local terminal = require "resty.tandem.tool.terminal"

local function say_value(entry, options)
    if options.raw or not terminal.is_terminal() then
        terminal.write(entry.value)
        return
    end
    terminal.say("%s", show.text(entry.value))
    terminal.complain(("%s bytes, %s, %s"):format(show.count(entry.length), entry.state,
        entry.ttl and "expires in " .. show.duration(entry.ttl) or "never expires"))
end

return function(words, options, command)
    local segment = segments.open(words[1], options)
    local key = input.key(words[2])
    local entry = segment:look(key)
    local known = entry and entry.state ~= "absent"
    if options.json then
        local object = json.put_bytes({ state = entry and entry.state or "none",
                                        ttl = known and (entry.ttl or 0) or json.null }, "key", key)
        if known and command == "get" then
            json.put_bytes(object, "value", entry.value)
        end
        terminal.say("%s", json.encode(object))
    elseif known and command == "ttl" then
        terminal.say("%.3f", entry.ttl or 0)
    elseif known then
        say_value(entry, options)
    else
        terminal.complain(entry and "memory says that there is no such key"
                          or segment.with_redis and "not in memory" or "no such key")
    end
    return known and 0 or 1
end
