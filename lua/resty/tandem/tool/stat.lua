--- tandem stat: what a cache has counted; once, or again and again with what happens a second.

local C = require("resty.tandem.lib").C
local json = require "resty.tandem.tool.json"
local segments = require "resty.tandem.tool.segment"
local show = require "resty.tandem.tool.show"
local terminal = require "resty.tandem.tool.terminal"

local BAR = 30

local function bar(part, whole, columns)
    local width = math.min(BAR, columns - 34)
    if width < 8 or whole <= 0 then
        return ""
    end
    local full = math.floor(width * part / whole + 0.5)
    return "[" .. ("#"):rep(full) .. ("."):rep(width - full) .. "] "
end

-- name and text in two columns, cut to the terminal's width.
local function row(name, text, columns)
    terminal.say("%s", ("  %-14s "):format(name) .. show.text(text, columns - 18))
end

-- What a counter has grown by; 0 for one that has begun again.
local function growth(count, before)
    return math.max(count - before, 0)
end

-- How often a second since last time; the number itself without one.
local function rate(now, before, seconds, tier, name)
    local count = now[tier][name]
    if not before then
        return show.count(count)
    end
    return ("%s/s"):format(show.count(growth(count, before[tier][name]) / seconds))
end

local function histogram_row(title, h, columns)
    if h.count > 0 then
        row(title, ("%s, p50 %s, p99 %s"):format(show.count(h.count), show.quantile(h, "p50"),
                                                 show.quantile(h, "p99")), columns)
    end
end

local function say_memory(s, before, seconds, columns)
    local m = s.memory
    local function each(name)
        return rate(s, before, seconds, "memory", name)
    end
    terminal.say(terminal.paint("bold", "memory"))
    row("in use", bar(m.live_bytes, m.capacity_bytes, columns)
        .. show.percent(m.live_bytes, m.capacity_bytes) .. " of "
        .. show.size(m.capacity_bytes), columns)
    row("entries", ("%s in %s; %s dead, %s free"):format(show.count(m.entries),
        show.size(m.live_bytes), show.size(m.dead_bytes), show.size(m.free_bytes)), columns)
    row("hits", ("%s, near %s, stale %s"):format(each "hits", each "near_hits", each "stale"),
        columns)
    row("writes", ("%s sets, %s deletes, %s evictions, %s expired"):format(each "sets",
        each "deletes", each "evictions", each "expired"), columns)
    histogram_row("lock waits", m.lock_wait, columns)
    if m.resets > 0 or m.lock_timeouts > 0 or m.shards_out_of_service > 0 then
        row("trouble", ("%s resets, %s entries lost, %s lock time-outs, %s shards out of service")
            :format(show.count(m.resets), show.count(m.lost_entries), show.count(m.lock_timeouts),
                    show.count(m.shards_out_of_service)), columns)
    end
end

local function say_redis(s, before, seconds, columns)
    local r, t = s.redis, s.tracking
    local function each(name)
        return rate(s, before, seconds, "redis", name)
    end
    terminal.say(terminal.paint("bold", "Redis"))
    row("reads", ("%s hits, %s misses, %s unanswered"):format(each "hits", each "misses",
                                                              each "unanswered"), columns)
    row("commands", ("%s, %s time-outs, %s errors, %s lost connections"):format(each "commands",
        show.count(r.timeouts), show.count(r.errors), show.count(r.disconnects)), columns)
    histogram_row("round trips", r.round_trip, columns)
    row("writes", ("%s in memory only, %s told later, %s lost"):format(
        show.count(r.degraded_writes), show.count(r.replayed), show.count(r.replay_lost)), columns)
    row("tracking", ("%s, %s changes told, %s gaps"):format(
        t.covering > 0 and "on" or "off", show.count(t.invalidations), show.count(t.gaps)), columns)
end

local function say_fetch(s, columns)
    local f = s.fetch
    if f.loads + f.load_errors == 0 then
        return
    end
    terminal.say(terminal.paint("bold", "fetch"))
    row("loaders", ("%s ran, %s failed, %s waited for another's"):format(show.count(f.loads),
        show.count(f.load_errors), show.count(f.joined)), columns)
    histogram_row("took", f.load, columns)
end

local function say(segment, now, before, seconds)
    local columns = terminal.columns() or 120
    terminal.say("%s", terminal.paint("bold", show.text(segment.name, columns - 14)) .. "  "
        .. show.size(segment.bytes) .. "  " .. os.date("%H:%M:%S"))
    local hits = growth(now.hits, before and before.hits or 0)
    local misses = growth(now.misses, before and before.misses or 0)
    row("hit rate", bar(hits, hits + misses, columns) .. show.percent(hits, hits + misses)
        .. (before and (" of %s lookups/s"):format(show.count((hits + misses) / seconds))
            or (" of %s lookups"):format(show.count(hits + misses))), columns)
    say_memory(now, before, seconds, columns)
    if segment.with_redis then
        say_redis(now, before, seconds, columns)
    end
    say_fetch(now, columns)
end

return function(words, options)
    local segment = segments.open(words[1], options)
    local interval, looks = options.interval or 1, options.watch and options.count or 1
    local before, before_ms
    repeat
        local now, now_ms = segment:stats(), C.tandem_now_ms()
        now.name, now.path = segment.name, segment.path
        if options.json then
            terminal.say("%s", json.encode(now))
        else
            if options.watch then
                terminal.home()
            end
            say(segment, now, before, before and (now_ms - before_ms) / 1000)
        end
        terminal.flush()
        before, before_ms = now, now_ms
        if looks then
            looks = looks - 1
        end
        if looks ~= 0 then
            terminal.sleep(interval)
        end
    until looks == 0
    return 0
end
