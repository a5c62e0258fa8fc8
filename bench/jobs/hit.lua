--- Hits, and nothing else, a number of them: for counting instructions.
--
--   luajit hit.lua WHAT N      near, segment: through cache:get; near_c: tandem_near_hit alone

local what, n = arg[1], tonumber(arg[2])

local C = require("resty.tandem.lib").C
local cache = assert(require("resty.tandem").new("hit", {
    memory = "4m", near = what ~= "segment",
}))

local keys = {}
for i = 1, 8 do
    keys[i] = ("key:%012d"):format(i)
    cache:set(keys[i], ("v"):rep(100))
end

local hits = 0
local function get(times)
    for i = 1, times do
        if cache:get(keys[i % 8 + 1]) then
            hits = hits + 1
        end
    end
end

local function near_c(times)
    local shared, find = cache.near.shared, cache.near.map[keys[1]]
    for _ = 1, times do
        hits = hits + C.tandem_near_hit(shared, find)
    end
end

get(2000) -- admits, and makes traces
local run = what == "near_c" and near_c or get
run(2000)
hits = 0
run(n)
assert(hits == n)
