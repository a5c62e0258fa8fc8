-- Options: whatever is given to tandem.new, it is a cache, or nil and a sentence, or an error
-- raised that is a sentence; and a cache that there is works.

local drive = require "spec.fuzz.drive"
local tandem = require "resty.tandem"

local one_of, random = drive.one_of, math.random

-- Of each option some that are right and some that are not.
local GIVEN = {
    memory = { "1m", "1M", 2 ^ 20, "64k", "1", "1x", -1, 0 / 0, 1 / 0, "", "1025k", 1.5 },
    ttl = { 0, 1, 0.0001, 1e9, 1e10, -1, 0 / 0, "1" },
    neg_ttl = { 0, 1, -1, 3e9 },
    stale_ttl = { 0, 1, 100, -5 },
    memory_ttl = { 0, 1, 60, "60" },
    max_stale = { 0, 0.5, 1, 1e12 },
    timeout = { 0.01, 1, 250, 0, -1 },
    connect_timeout = { 0.01, 1, 0 },
    lock_timeout = { 0, 1, 5 },
    lock = { "redis", "host", "none", "", 1 },
    codec = { "string", "json", "buffer", "xml", {}, { name = "x" },
              { name = "x", encode = tostring, decode = tostring } },
    near = { true, false, {}, { entries = 10 }, { entries = 0 }, { bytes = "1k" }, { x = 1 } },
    prefix = { "", "p:", ("p"):rep(300), "a\0b", 1 },
    redis = { "redis://127.0.0.1:1/0", "redis://:secret@127.0.0.1:1", "unix:///none", "http://x",
              "rediss://127.0.0.1:1", "", 1, {}, { url = "redis://127.0.0.1:1" },
              { url = "redis://127.0.0.1:1", password = "secret", tls = true } },
    tracking = { true, false, 1, "on" },
    tags = { true, false, 1 },
    on_redis_error = { "degrade", "fail", "hope", true },
    path = { "", "/", "/no/such/folder/file", "a\0b", 1 },
    jitter = { 0, 0.5, 1, 2, -1 },
}
local NAMES = {}
for name in pairs(GIVEN) do
    NAMES[#NAMES + 1] = name
end
table.sort(NAMES)

local function anything()
    return one_of({ function() return drive.bytes(20) end, function() return random(-9, 9) end,
                    function() return {} end, function() return print end,
                    function() return random() * 2 ^ random(0, 1000) end,
                    function() return setmetatable({}, { __index = error }) end,
                    function() return require("ffi").new("int64_t", 5) end })()
end

local function options()
    local opts = {}
    for _ = 1, random(0, 4) do
        local name = one_of(NAMES)
        -- A path at random would be made.
        opts[name] = random(8) == 1 and name ~= "path" and anything() or one_of(GIVEN[name])
    end
    if random(16) == 1 then
        opts[random(2) == 1 and one_of(NAMES) .. "s" or drive.bytes(9)] = anything()
    end
    opts.memory = opts.memory or "1m" -- by default more than is needed here
    return opts
end

local function sentence(err)
    assert(type(err) == "string" and #err > 3 and not err:find("secret", 1, true),
           "not a sentence: " .. tostring(err))
    assert(not err:find("attempt to", 1, true), err) -- an error of Lua's, and not one of ours
end

local function try(cache)
    local ok, err = cache:set("key", "value")
    assert(ok or type(err) == "string")
    local value, problem = cache:get("key")
    assert(value == nil or value == "value" or problem == nil, "another value")
    assert(type(cache:stats()) == "table")
    cache:close()
end

drive.run(function()
    local name = random(8) == 1 and one_of({ "", "a b", ("x"):rep(64), 1, {}, drive.bytes(5) })
                 or "fuzz"
    local ok, cache, err = pcall(tandem.new, name, random(32) == 1 and anything() or options())
    if not ok then
        sentence(cache)
    elseif cache == nil then
        sentence(err)
    else
        try(cache)
    end
end)
