-- Run it twice within a minute: the second time another process has the answer, in memory or, if
-- Redis may have changed it meanwhile, in Redis.  It also runs without a Redis, and says so.

local tandem = require "resty.tandem"

local cache = assert(tandem.new("plain-example", {
    memory = "8m",
    path = os.getenv("CACHE_FILE") or "/dev/shm/plain-example.tandem",
    redis = os.getenv("REDIS_URL") or "redis://127.0.0.1:6379/0",
    ttl = 60,
}))

local value, err, tier = cache:get("answer")
if value then
    print("found in " .. tier)
else
    print(err and "Redis cannot be asked: " .. err or "in neither tier")
    value = tostring(6 * 7)
    local ok, note = cache:set("answer", value)
    print(ok and "stored" or "not stored", note)
end
print(value, math.floor(cache:ttl("answer") or 0) .. " seconds left")
