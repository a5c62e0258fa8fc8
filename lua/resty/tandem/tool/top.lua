--- tandem top: what is read most, from the marks that reads leave at entries, looked at repeatedly.
--
-- An entry's share is how many looks found it read since the one before: at most once a look, so
-- that what is read more often than that looks alike.

local ffi = require "ffi"

local C = require("resty.tandem.lib").C
local largest = require "resty.tandem.largest"
local prefix_of = require "resty.tandem.prefix"
local json = require "resty.tandem.tool.json"
local segments = require "resty.tandem.tool.segment"
local show = require "resty.tandem.tool.show"
local terminal = require "resty.tandem.tool.terminal"

local LOOKS = 50            -- fewer than 256: they are counted in a byte
local USUAL_SECONDS, USUAL_LIMIT = 2, 10

local function sample(cache, slots, seconds)
    local times = ffi.new("uint8_t[?]", slots)
    C.tandem_marks_take(cache.handle, 0, slots, ffi.new("uint8_t[?]", slots))
    for _ = 1, LOOKS do
        terminal.sleep(seconds / LOOKS)
        C.tandem_marks_take(cache.handle, 0, slots, times)
    end
    C.tandem_marks_give(cache.handle, 0, slots, times)
    return times
end

local function hottest(list, limit)
    return largest(list, "looks", "key", limit)
end

local function rank(segment, times, limit)
    local keys, prefixes, by_prefix = {}, {}, {}
    for slot = 0, segment.slots - 1 do
        local looks = times[slot]
        local key, length = nil, nil
        if looks > 0 then
            key, length = segment:key_at(slot)
        end
        if key then
            keys[#keys + 1] = { key = key, looks = looks, bytes = #key + length }
            local name = prefix_of(key)
            local prefix = by_prefix[name]
            if not prefix then
                prefix = { key = name, looks = 0, bytes = 0, keys = 0 }
                by_prefix[name], prefixes[#prefixes + 1] = prefix, prefix
            end
            prefix.looks, prefix.keys = prefix.looks + looks, prefix.keys + 1
            prefix.bytes = prefix.bytes + #key + length
        end
    end
    return hottest(keys, limit), hottest(prefixes, limit)
end

local function say(title, list)
    local columns = terminal.columns() or 120
    terminal.say("%s", terminal.paint("bold", ("%6s  %10s  %s"):format("looks", "bytes", title)))
    for _, item in ipairs(list) do
        terminal.say("%s", ("%6.0f  %10s  "):format(item.looks, show.size(item.bytes))
            .. show.text(item.key .. (item.keys and " (" .. item.keys .. ")" or ""), columns - 20))
    end
end

local function for_json(list)
    local out = { is_array = true }
    for i, item in ipairs(list) do
        out[i] = json.put_bytes({ looks = item.looks, bytes = item.bytes, keys = item.keys }, "key",
                                item.key)
    end
    return out
end

return function(words, options)
    local segment = segments.open(words[1], options)
    local cache = segment:open_cache({ runtime_dir = options.runtime_dir })
    local times = sample(cache, segment.slots, options.seconds or USUAL_SECONDS)
    cache:close()
    local keys, prefixes = rank(segment, times, options.limit or USUAL_LIMIT)
    if options.json then
        terminal.say("%s", json.encode({ looks = LOOKS, keys = for_json(keys),
                                         prefixes = for_json(prefixes) }))
        return 0
    end
    terminal.say("of %d looks, each at whether it was read since the one before:", LOOKS)
    say("key", keys)
    say("prefix (its keys that were read)", prefixes)
    return 0
end
