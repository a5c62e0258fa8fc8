--- tandem bench: how fast this host is, in some ten seconds.  On segments of its own, which go with
-- it; a live one is only read.

local fail = require "resty.tandem.tool.fail"
local input = require "resty.tandem.tool.input"
local json = require "resty.tandem.tool.json"
local process = require "resty.tandem.host.process"
local segments = require "resty.tandem.tool.segment"
local show = require "resty.tandem.tool.show"
local terminal = require "resty.tandem.tool.terminal"

local USUAL_SECONDS = 10
local KEYS = 1000
local LINK_SECONDS = 3

local now = terminal.now

local function open(name, options)
    local sound, cache, err = pcall(require("resty.tandem").new, name, options)
    if not sound then
        fail.misused(show.text(cache))
    end
    return cache or fail.failed(show.text(err))
end

-- -- Memory --------------------------------------------------------------------------------------

-- Nanoseconds a call, of rounds over all keys for so many seconds.
local function pace(keys, seconds, each)
    local began, rounds = now(), 0
    repeat
        for i = 1, #keys do
            each(keys[i])
        end
        rounds = rounds + 1
    until now() - began >= seconds
    return (now() - began) / rounds / #keys * 1e9
end

local function of_memory(seconds)
    local keys, value = {}, ("v"):rep(100)
    for i = 1, KEYS do
        keys[i] = ("bench:%06d"):format(i)
    end
    local name = "tandem-bench-" .. process.pid()
    local cache = open(name, { memory = "16m", near = false })
    local near = open(name .. "-near", { memory = "16m" })
    local found = {
        set_ns = pace(keys, seconds, function(key) cache:set(key, value) end),
        segment_hit_ns = pace(keys, seconds, function(key) cache:get(key) end),
    }
    for _, key in ipairs(keys) do
        near:set(key, value)
    end
    found.near_hit_ns = pace(keys, seconds, function(key) near:get(key) end)
    found.delete_ns = pace(keys, seconds, function(key) cache:delete(key) end)
    cache:close()
    near:close()
    return found
end

-- -- Redis ---------------------------------------------------------------------------------------

local function quantiles(list)
    table.sort(list)
    local function at(fraction)
        return list[math.max(1, math.ceil(fraction * #list))]
    end
    return { count = #list, p50 = at(0.5), p99 = at(0.99), worst = list[#list] }
end

local function checked(value, err)
    return err and fail.failed(show.text(err)) or value
end

-- The seconds that calls of each() take, for so long.
local function take_times(seconds, each)
    local times, began = {}, now()
    repeat
        local at = now()
        each(#times)
        times[#times + 1] = now() - at
    until now() - began >= seconds
    return quantiles(times)
end

local function await_link(cache)
    local began = now()
    checked(cache:get("nothing"))
    while cache:stats().tracking.state ~= "on" do
        if now() - began > LINK_SECONDS then
            return false
        end
        terminal.sleep(0.01)
    end
    return true
end

-- One cache writes; another, with a segment of its own as on another host, is asked until it knows.
local function delays(writer, reader, seconds)
    local times, began, i = {}, now(), 0
    repeat
        i = i + 1
        local old, new = "old" .. i, "new" .. i
        checked(writer:set("seen", old, 60))
        while checked(reader:get("seen")) ~= old do
            terminal.sleep(0.0005)
        end
        checked(writer:set("seen", new, 60))
        local written = now()
        while checked(reader:get("seen")) ~= new do
            if now() - written > 5 then
                fail.failed("a write was not seen for 5 seconds")
            end
        end
        times[i] = now() - written
    until now() - began >= seconds
    return quantiles(times)
end

local function of_redis(options, seconds)
    local name = "tandem-bench-" .. process.pid()
    local common = { memory = "2m", near = false, redis = input.url(options.redis),
                     prefix = name .. ":", timeout = options.timeout or 5 }
    local writer, reader = open(name .. "-w", common), open(name .. "-r", common)
    local found = {
        round_trip = take_times(seconds, function(i)
            checked(writer:exists("absent" .. i))
        end),
    }
    found.tracking = await_link(reader)
    if found.tracking then
        found.seen_after = delays(writer, reader, seconds)
    end
    checked(writer:delete("seen"))
    writer:close()
    reader:close()
    return found
end

-- -- A live segment ------------------------------------------------------------------------------

local function of_segment(segment, seconds)
    local keys = {}
    segment:each_key(nil, function(key)
        keys[#keys + 1] = key
        return #keys == KEYS
    end)
    return #keys > 0 and pace(keys, seconds, function(key) segment:touch(key) end) or nil
end

-- -- The command ---------------------------------------------------------------------------------

local function say_times(title, times)
    terminal.say("%s", ("  %-22s p50 %s, p99 %s, worst %s, of %s"):format(title,
        show.duration(times.p50), show.duration(times.p99), show.duration(times.worst),
        show.count(times.count)))
end

local function say(found)
    terminal.say(terminal.paint("bold", "memory") .. ", 100 bytes, one process")
    for _, row in ipairs { { "near hit", "near_hit_ns" }, { "segment hit", "segment_hit_ns" },
                           { "set", "set_ns" }, { "delete", "delete_ns" },
                           { "read of the segment", "live_ns" } } do
        if found[row[2]] then
            terminal.say("  %-22s %.0f ns", row[1], found[row[2]])
        end
    end
    if found.redis then
        terminal.say(terminal.paint("bold", "Redis"))
        say_times("round trip", found.redis.round_trip)
        if found.redis.seen_after then
            say_times("write seen elsewhere", found.redis.seen_after)
        else
            terminal.say("  no tracking: this Redis does not say what changes")
        end
    end
end

return function(words, options)
    local segment = words[1] and segments.open(words[1], options)
    local parts = 4 + (options.redis and 4 or 0) + (segment and 1 or 0)
    local share = (options.seconds or USUAL_SECONDS) / parts
    local found = of_memory(share)
    if segment then
        found.live_ns = of_segment(segment, share)
    end
    if options.redis then
        found.redis = of_redis(options, 2 * share)
    end
    if options.json then
        terminal.say("%s", json.encode(found))
    else
        say(found)
    end
    return 0
end
