--- tandem keys: the keys in memory.

local json = require "resty.tandem.tool.json"
local segments = require "resty.tandem.tool.segment"
local show = require "resty.tandem.tool.show"
local terminal = require "resty.tandem.tool.terminal"

return function(words, options)
    local segment = segments.open(words[1], options)
    local left = options.limit or math.huge
    segment:each_key(words[2], function(key)
        terminal.say("%s", options.json and json.encode(json.put_bytes({}, "key", key))
                     or show.text(key))
        left = left - 1
        return left == 0
    end)
    return 0
end
