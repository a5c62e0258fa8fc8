--- The options of tandem.new: their names, defaults and ranges, in one table.
--
-- check() turns what the user gave into a flat table with every option set and every duration in
-- whole milliseconds, or says in one sentence what is wrong.  No option is read by name before it
-- has been through here, and nothing here knows of nginx, of C or of Redis.

local codec = require "resty.tandem.codec"
local each = require "resty.tandem.each"
local text = require "resty.tandem.text"

local ceil = math.ceil
local concat = table.concat
local find = string.find
local floor = math.floor
local format = string.format
local lower = string.lower
local match = string.match
local min = math.min
local sort = table.sort
local sub = string.sub
local tonumber = tonumber
local type = type

local show = text.show

local HUGE = math.huge
local CENTURY = 3153600000 -- seconds; the longest that any duration may be
local MINUTE = 60
local UNITS = { [""] = 1, k = 1024, m = 1024 * 1024, g = 1024 * 1024 * 1024 }
local LARGEST, LARGEST_TEXT = 256 * 2 ^ 30, "256g"
local ADDRESSES = 1024 -- of a map

local _M = {}

-- -- Checks --------------------------------------------------------------------------------------
--
-- Each is made once, at load, and answers the checked value; or nil and what the value "must be";
-- or nil, nil and a whole sentence.

local function number_problem(value, range)
    if type(value) ~= "number" then
        return "must be a number"
    elseif value ~= value or value == HUGE or value == -HUGE then
        return "must be a finite number"
    elseif range.over and value <= range.over then
        return "must be > " .. range.over
    elseif range.least and value < range.least then
        return "must be >= " .. range.least
    elseif range.most and value > range.most then
        return format("must be <= %.0f", range.most)
    elseif range.whole and value ~= floor(value) then
        return "must be a whole number"
    end
end

local function number(range)
    return function(value)
        local problem = number_problem(value, range)
        if problem then
            return nil, problem
        end
        return value
    end
end

--- Seconds as whole milliseconds: rounded, but what is more than nothing stays more than nothing.
function _M.to_ms(seconds)
    local ms = floor(seconds * 1000 + 0.5)
    return ms == 0 and seconds > 0 and 1 or ms
end

local to_ms = _M.to_ms

local function seconds(range)
    range.most = range.most or CENTURY
    return function(value)
        local problem = number_problem(value, range)
        if problem and value ~= HUGE and type(value) == "number" and value > range.most then
            problem = problem .. " seconds" -- 250 would be milliseconds
        end
        if problem then
            return nil, problem
        end
        return to_ms(value)
    end
end

--- A TTL in seconds.
-- @return whole milliseconds; or nil and what it must be
_M.check_ttl = seconds { least = 0 }

local function size(least, least_text, most, most_text)
    return function(value)
        local bytes = value
        if type(value) == "string" then
            local digits, unit = match(value, "^(%d+)([kKmMgG]?)$")
            if not digits then
                return nil, 'must be a size such as "64k", "64m" or "2g", or a number of bytes'
            end
            bytes = tonumber(digits) * UNITS[lower(unit)]
        elseif type(value) ~= "number" then
            return nil, 'must be a size such as "64k", "64m" or "2g", or a number of bytes'
        elseif value ~= value or value == HUGE or value == -HUGE then
            return nil, "must be a finite number of bytes"
        elseif value ~= floor(value) then
            return nil, "must be a whole number of bytes"
        end
        if bytes < least then
            return nil, "must be at least " .. least_text
        elseif bytes > most then
            return nil, "must be at most " .. most_text
        end
        return bytes
    end
end

local function boolean(value)
    if type(value) ~= "boolean" then
        return nil, "must be a boolean"
    end
    return value
end

-- C sees these as NUL-terminated.
local function c_string(value)
    if type(value) ~= "string" then
        return nil, "must be a string"
    elseif value == "" then
        return nil, "must not be empty"
    elseif find(value, "\0", 1, true) then
        return nil, "must not contain a zero byte"
    end
    return value
end

local function bytes(value)
    if type(value) ~= "string" then
        return nil, "must be a string"
    end
    return value
end

local function one_of(...)
    local words, quoted = {}, {}
    for i, word in ipairs({ ... }) do
        words[word] = true
        quoted[i] = '"' .. word .. '"'
    end
    local must = "must be " .. concat(quoted, " or ")
    return function(value)
        if type(value) ~= "string" or not words[value] then
            return nil, must
        end
        return value
    end
end

local function anything(value)
    return value
end

-- -- The table -----------------------------------------------------------------------------------

local check_rows

local TLS = {
    { name = "ca", check = c_string },
    { name = "cert", check = c_string },
    { name = "key", check = c_string, secret = true },
    { name = "server_name", check = c_string },
    { name = "verify", check = boolean, default = true },
}

local function tls(value)
    if type(value) ~= "table" then
        return nil, "must be a table"
    end
    local checked, sentence = check_rows(TLS, value, "opts.redis.tls.")
    return checked, nil, sentence
end

-- "host:port", with an IPv6 address in brackets.
local function is_address(value)
    if type(value) ~= "string" then
        return false
    end
    local host, port = match(value, "^%[([%x:.]+)%]:(%d+)$")
    if not host then
        host, port = match(value, "^([%w_.-]+):(%d+)$")
    end
    port = tonumber(port)
    return host and #host < 254 and port >= 1 and port <= 65535
end

-- Answers what C takes: "told=there,told=there".
local function address_map(value)
    if type(value) ~= "table" then
        return nil, 'must be a table such as { ["10.0.0.1:6379"] = "203.0.113.1:7001" }'
    end
    local pairs_of = {}
    for told, there in each(value) do
        if not is_address(told) then
            return nil, nil, format('opts.redis.address_map must have addresses such as '
                                    .. '"10.0.0.1:6379" as keys, got %s', show(told))
        elseif not is_address(there) then
            return nil, nil, format('opts.redis.address_map["%s"] must be an address such as '
                                    .. '"203.0.113.1:7001", got %s', text.shorten(told),
                                    show(there))
        end
        pairs_of[#pairs_of + 1] = told .. "=" .. there
    end
    if #pairs_of == 0 then
        return nil, nil, "opts.redis.address_map must not be empty"
    elseif #pairs_of > ADDRESSES then
        return nil, nil, format("opts.redis.address_map must have at most %d addresses, got %d",
                                ADDRESSES, #pairs_of)
    end
    sort(pairs_of)
    return concat(pairs_of, ",")
end

local REDIS = {
    { name = "url", check = c_string, required = true, secret = true },
    { name = "username", check = c_string, secret = true },
    { name = "password", check = c_string, secret = true },
    { name = "client_name", check = c_string },
    { name = "replicas", check = one_of("never", "fallback", "prefer") },
    { name = "tls", check = tls },
    { name = "address_map", check = address_map },
}

-- What has an option of its own elsewhere.
local IN_URL = { "host", "port", "db", "database", "socket" }

local NEAR = {
    { name = "entries", check = number { least = 1, whole = true, most = 1e9 }, default = 10000 },
    { name = "bytes", check = size(1024, "1k", LARGEST, LARGEST_TEXT), default = "16m" },
}

local function is_cluster(url)
    return match(lower(url), "^rediss?%+cluster://") ~= nil
end

local function is_sentinel(url)
    return match(lower(url), "^rediss?%+sentinel://") ~= nil
end

local function redis(value)
    if type(value) == "string" then
        value = { url = value }
    elseif type(value) ~= "table" then
        return nil, 'must be a URL such as "redis://127.0.0.1:6379/0", or a table'
    end
    for _, name in ipairs(IN_URL) do
        if value[name] ~= nil then
            return nil, nil, format('opts.redis.%s: it is in the URL, as in url = '
                                    .. '"redis://127.0.0.1:6379/0"', name)
        end
    end
    local checked, sentence = check_rows(REDIS, value, "opts.redis.")
    if not checked then
        return nil, nil, sentence
    end
    checked.is_cluster = is_cluster(checked.url) or nil
    checked.is_sentinel = is_sentinel(checked.url) or nil
    if checked.tls and not match(lower(checked.url), "^rediss[+:]") then
        return nil, nil, "opts.redis.tls is given, but opts.redis.url does not begin with "
                         .. "rediss:// or rediss+cluster://"
    elseif (checked.replicas or "never") ~= "never" and not checked.is_cluster
           and not checked.is_sentinel then
        return nil, nil, format('opts.redis.replicas = "%s", but opts.redis.url is of neither '
                                .. "sentinels nor a cluster", checked.replicas)
    elseif checked.address_map and not checked.is_cluster and not checked.is_sentinel then
        return nil, nil, "opts.redis.address_map is given, but opts.redis.url is of neither "
                         .. "sentinels nor a cluster"
    end
    return checked
end

local function near(value)
    if value == true then
        value = {}
    elseif value == false then
        return false
    elseif type(value) ~= "table" then
        return nil, "must be a table or a boolean"
    end
    local checked, sentence = check_rows(NEAR, value, "opts.near.")
    return checked, nil, sentence
end

-- identity: handles of one name that differ in it do not share a segment, so one Lua VM refuses
-- them.
local OPTIONS = {
    { name = "memory", check = size(UNITS.m, "1m", LARGEST, LARGEST_TEXT), default = "64m",
      identity = true },
    { name = "entry_size", check = size(1, "1 byte", 8 * UNITS.m, "8m"), identity = true },
    { name = "path", check = c_string, identity = true },
    { name = "redis", check = redis, identity = true },
    { name = "prefix", check = bytes, identity = true },
    { name = "ttl", check = seconds { least = 0 }, default = 0 },
    { name = "memory_ttl", check = seconds { over = 0 }, default = 3600 },
    { name = "codec", check = codec.check, default = "string", identity = true },
    { name = "write", check = one_of("through", "behind"), default = "through" },
    { name = "on_redis_error", check = one_of("degrade", "fail"), default = "degrade" },
    { name = "replay", check = one_of("write", "delete"), default = "write" },
    { name = "tracking", check = boolean, default = true },
    { name = "max_stale", check = seconds { least = 0 }, default = 2 },
    { name = "connect_timeout", check = seconds { over = 0, most = MINUTE }, default = 0.5 },
    { name = "timeout", check = seconds { over = 0, most = MINUTE }, default = 0.25 },
    { name = "neg_ttl", check = seconds { least = 0 }, default = 5 },
    { name = "stale_ttl", check = seconds { least = 0 }, default = 0 },
    { name = "jitter", check = number { least = 0, most = 1 }, default = 0 },
    { name = "refresh_ahead", check = number { least = 0 }, default = 0 },
    { name = "lock_timeout", check = seconds { over = 0 }, default = 5 },
    { name = "soft_timeout", check = seconds { least = 0 } },
    { name = "hard_timeout", check = seconds { over = 0 }, default = 30 },
    { name = "lock", check = one_of("host", "redis"), default = "host" },
    { name = "tags", check = boolean, default = false, identity = true },
    { name = "freeze", check = boolean, default = false },
    { name = "near", check = near, default = true },
    { name = "runtime_dir", check = c_string },
}

--- The rows, for whoever documents them: name, default, identity.
_M.rows = OPTIONS

-- Those that a single fetch may have of its own.
local OF_A_FETCH = { ttl = true, neg_ttl = true, stale_ttl = true, jitter = true,
                     refresh_ahead = true, lock_timeout = true, soft_timeout = true,
                     hard_timeout = true }
local FETCH = {}
for _, row in ipairs(OPTIONS) do
    if OF_A_FETCH[row.name] then
        FETCH[#FETCH + 1] = { name = row.name, check = row.check }
    end
end
FETCH[#FETCH + 1] = { name = "tags", check = anything } -- arguments.lua knows what
_M.fetch_rows = FETCH

-- -- Unknown options -----------------------------------------------------------------------------

local function edit_distance(a, b)
    local row = {}
    for j = 0, #b do
        row[j] = j
    end
    for i = 1, #a do
        local diagonal = row[0]
        row[0] = i
        for j = 1, #b do
            local same = sub(a, i, i) == sub(b, j, j)
            local best = min(row[j] + 1, row[j - 1] + 1, diagonal + (same and 0 or 1))
            diagonal, row[j] = row[j], best
        end
    end
    return row[#b]
end

-- Are the letters of a word in a name, in this order?
local function is_within(word, name)
    local at = 1
    for i = 1, #word do
        at = find(name, sub(word, i, i), at, true)
        if not at then
            return false
        end
        at = at + 1
    end
    return true
end

-- The option that a word was meant to be: a few letters off, or shortened, or with something added.
local function suggestion(word, rows)
    word = lower(word)
    local best, nearest = nil, min(3, ceil(#word / 3)) + 1
    for _, row in ipairs(rows) do
        local distance = edit_distance(word, row.name)
        if distance < nearest then
            best, nearest = row.name, distance
        end
    end
    if best or #word < 3 then
        return best
    end
    for _, row in ipairs(rows) do
        if is_within(word, row.name) or find(word, row.name, 1, true) then
            return row.name
        end
    end
end

local function unknown_option(opts, rows, label)
    local known, unknown = {}, {}
    for _, row in ipairs(rows) do
        known[row.name] = true
    end
    for name in each(opts) do
        if type(name) ~= "string" then
            return format("%s must have names as keys, got %s", sub(label, 1, -2), show(name))
        elseif not known[name] then
            unknown[#unknown + 1] = name
        end
    end
    if #unknown == 0 then
        return nil
    end
    sort(unknown)
    local name = unknown[1]
    local meant = suggestion(name, rows)
    local sentence = "unknown option " .. label .. text.shorten(name)
    return meant and format('%s: did you mean "%s"?', sentence, meant) or sentence
end

-- -- One pass ------------------------------------------------------------------------------------

local function problem_sentence(row, label, value, must, sentence)
    if not must then
        return sentence
    end
    return format("%s%s %s, got %s", label, row.name, must,
                  row.secret and type(value) or show(value))
end

function check_rows(rows, given, label)
    local sentence = unknown_option(given, rows, label)
    if sentence then
        return nil, sentence
    end
    local checked = {}
    for _, row in ipairs(rows) do
        local value = given[row.name]
        if value == nil then
            value = row.default
        end
        if value ~= nil then
            local good, must, whole = row.check(value)
            if good == nil then
                return nil, problem_sentence(row, label, value, must, whole)
            end
            checked[row.name] = good
        elseif row.required then
            return nil, label .. row.name .. " is required"
        end
    end
    return checked
end

--- Checks the opts of a fetch.
-- @return a table with those that were given, durations in milliseconds; or nil and a sentence
function _M.check_fetch(opts)
    return check_rows(FETCH, opts, "opts.")
end

-- What is wrong about reading from replicas with the other options; nil: nothing.
local function replicas_do_not_fit(checked)
    local replicas = checked.redis and checked.redis.replicas or "never"
    if replicas == "never" then
        return nil
    elseif checked.tags then
        return format('opts.redis.replicas = "%s": what may have tags is not read from replicas',
                      replicas)
    elseif replicas == "fallback" and checked.on_redis_error == "fail" then
        return 'opts.redis.replicas = "fallback" answers with what may be stale, and '
               .. 'opts.on_redis_error = "fail" wants an error'
    elseif replicas == "prefer" and (not checked.tracking or checked.max_stale == 0) then
        return 'opts.redis.replicas = "prefer" needs '
               .. (checked.tracking and "an opts.max_stale above 0" or "opts.tracking")
               .. ": what a replica has is only as good as what we are told of changes"
    end
end

--- Checks the arguments of tandem.new.
-- @return a table of all options, durations in milliseconds, `codec` as a codec object, `redis`
-- as a table or nil, plus `name`; or nil and a sentence that names the argument and what was
-- given
function _M.check(name, opts)
    if type(name) ~= "string" or not match(name, "^[%w_.-]+$") or #name > 63 then
        return nil, "name must be 1 to 63 of the characters A-Z a-z 0-9 _ . -, got " .. show(name)
    end
    if opts ~= nil and type(opts) ~= "table" then
        return nil, "opts must be a table, got " .. show(opts)
    end
    local checked, sentence = check_rows(OPTIONS, opts or {}, "opts.")
    if not checked then
        return nil, sentence
    end
    checked.name = name
    checked.prefix = checked.prefix or name .. ":"
    if checked.lock == "redis" and not checked.redis then
        return nil, 'opts.lock = "redis" needs a Redis, and there is no opts.redis'
    end
    sentence = replicas_do_not_fit(checked)
    if sentence then
        return nil, sentence
    end
    -- A script looks at a key and at its lock, or at its tags, which have to be in one slot.
    local together = checked.tags and "opts.tags" or checked.lock == "redis" and "opts.lock"
    if together and checked.redis and checked.redis.is_cluster
       and not match(checked.prefix, "^[^{]*{[^}]+}") then
        return nil, together .. ": in a cluster it needs a prefix with a hash tag, as in "
                    .. 'prefix = "{' .. name .. '}:", which has all keys in one slot'
    end
    return checked
end

return _M
