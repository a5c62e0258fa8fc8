--- tandem warm: reads keys from Redis, so that memory has them.

local C = require("resty.tandem.lib").C
local fail = require "resty.tandem.tool.fail"
local input = require "resty.tandem.tool.input"
local json = require "resty.tandem.tool.json"
local segments = require "resty.tandem.tool.segment"
local show = require "resty.tandem.tool.show"
local terminal = require "resty.tandem.tool.terminal"

local AT_ONCE = 100         -- keys a round trip
local BAR = 24
local SHOW_MS = 100         -- between two pictures of the progress

local function keys_of_pattern(cache, pattern)
    local keys = {}
    for key, err in cache:scan(pattern) do
        if not key then
            fail.failed(show.text(err))
        end
        keys[#keys + 1] = key
    end
    return keys
end

-- -- Progress ------------------------------------------------------------------------------------

local function picture(done, all, seconds)
    local share = all > 0 and done / all or 1
    local full = math.floor(BAR * share)
    local rate = seconds > 0 and done / seconds or 0
    return ("[%s%s] %3.0f %%  %s/%s  %s/s  ETA %s"):format(("#"):rep(full), ("."):rep(BAR - full),
        100 * share, show.count(done), show.count(all), show.count(rate),
        rate > 0 and show.duration((all - done) / rate) or "?")
end

-- On a terminal one line that changes; elsewhere none.
local function draw(done, all, seconds)
    if terminal.is_error_terminal() then
        local columns = terminal.columns() or 79
        io.stderr:write("\r\27[K", picture(done, all, seconds):sub(1, columns - 1))
    end
end

local function load(cache, keys)
    local found, failed, first = 0, 0, nil
    local began = C.tandem_now_ms()
    local shown = began
    for from = 1, #keys, AT_ONCE do
        local batch = {}
        for i = from, math.min(from + AT_ONCE - 1, #keys) do
            batch[#batch + 1] = keys[i]
        end
        local values, err = cache:get_multi(batch)
        for _ in pairs(values or {}) do
            found = found + 1
        end
        if err then
            failed, first = failed + 1, first or err
        end
        local now = C.tandem_now_ms()
        if now - shown >= SHOW_MS then
            shown = now
            draw(from + #batch - 1, #keys, (now - began) / 1000)
        end
    end
    draw(#keys, #keys, (C.tandem_now_ms() - began) / 1000)
    if terminal.is_error_terminal() then
        io.stderr:write("\n")
    end
    return found, failed, first
end

-- -- The command ---------------------------------------------------------------------------------

return function(words, options)
    if not options.redis then
        fail.misused("warm needs --redis: that is where it reads")
    elseif options.file and words[2] then
        fail.misused("warm takes a PATTERN or --file, not both")
    end
    local segment = segments.open(words[1], options)
    local cache = segment:open_cache(options)
    cache.flags = C.TANDEM_AGAIN -- these are not lookups, to those who count hits and misses
    local keys = options.file and input.keys(options.file) or keys_of_pattern(cache, words[2])
    local before = segment:stats().memory.evictions
    local found, failed, first = load(cache, keys)
    cache:close()
    local evicted = segment:stats().memory.evictions - before
    if options.json then
        terminal.say("%s", json.encode({ keys = #keys, found = found, failed_batches = failed,
                                         evictions = evicted, error = first }))
    else
        terminal.say("%s of %s keys read", show.count(found), show.count(#keys))
        if evicted > 0 then
            terminal.complain(("memory is too small for them all: %s entries went meanwhile")
                              :format(show.count(evicted)))
        end
    end
    if first then
        fail.failed(show.text(first))
    end
    return 0
end
