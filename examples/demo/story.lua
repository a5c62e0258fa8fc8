--- The story: one step for each thing that a cache in two tiers is for.  Each step sends real
-- requests, prints what came of them, and fails when that is not what it promised.

local client = require "demo.client"
local system = require "demo.system"
local tally = require "demo.tally"

local format = string.format

local CONNECTIONS = 8
local REPLAYED = 1200  -- requests of the list in the first steps
local MAX_STALE = 2    -- seconds: the default of this option
local SLACK = 0.5      -- seconds that a busy machine may add
local PATIENCE = 15    -- seconds to wait for something that must come
local PREFIX = "catalogue:"

local Story = {}
Story.__index = Story

-- -- Telling -------------------------------------------------------------------------------------

local function say(...)
    io.write(format(...), "\n")
    io.flush()
end

local function step(title, ...)
    say("\n%s", title)
    for _, line in ipairs({ ... }) do
        say("   %s", line)
    end
end

-- The promise of a step: without it the demo ends here.
local function expect(condition, ...)
    if not condition then
        error({ failed = format(...) }, 0)
    end
end

local function check_interrupt()
    local signal = system.asked_to_end()
    if signal then
        error({ signal = signal }, 0)
    end
end

local function wait_for(what, fn)
    local started = system.now()
    local done = system.wait_until(PATIENCE, function()
        check_interrupt()
        return fn()
    end)
    expect(done, "%s did not happen within %d s", what, PATIENCE)
    return system.now() - started
end

-- -- Traffic -------------------------------------------------------------------------------------

-- Sends requests to a host until stop(sent, so_far); every eighth one is a /ping if asked for.
local function send(self, host, stop, with_ping)
    local result, sent = tally.new(), 0
    client.run(host.port, CONNECTIONS, function()
        check_interrupt()
        if stop(sent, result) then
            return nil
        end
        sent = sent + 1
        if with_ping and sent % 8 == 0 then
            return "/ping"
        end
        return "/products/" .. self.requests[(sent - 1) % #self.requests + 1]
    end, function(answer)
        result:add(answer)
        if self.watch then
            self.watch(answer)
        end
    end)
    return result
end

local function replay(self, host, count)
    return send(self, host, function(sent)
        return sent >= count
    end)
end

local function show(result)
    for _, line in ipairs(result:lines()) do
        say("%s", line)
    end
    expect(result.lost == 0 and result.bad == 0,
           "%d of %d requests were lost, %d got an error (%s)", result.lost, result.all, result.bad,
           tostring(result.reason))
end

local function get(host, id)
    local answer = client.get(host.port, "/products/" .. id)
    expect(answer.status == 200, "product %s: %s", id, answer.lost or "status "
           .. tostring(answer.status))
    return answer
end

local function stats_of(host)
    local answer, stats = client.get(host.port, "/stats"), {}
    expect(answer.status == 200, "/stats: %s", answer.lost or "status " .. tostring(answer.status))
    for name, value in answer.body:gmatch("(%S+) ([^\n]*)\n") do
        stats[name] = value
    end
    return stats
end

-- Until Redis tells both hosts of changes.
local function wait_for_tracking(self)
    for _, host in ipairs({ self.a, self.b }) do
        wait_for("tracking", function()
            return stats_of(host)["tracking.state"] == "on"
        end)
    end
end

-- -- Steps ---------------------------------------------------------------------------------------

-- Nothing should have been made again; but on a machine that stands still for a moment Redis may
-- answer too late, and the application does not wait for it then.
local function expect_nothing_made(host, result)
    local made = result:count("rendered")
    if made == 0 then
        return true
    end
    local unanswered = tonumber(stats_of(host)["redis.unanswered"])
    expect(unanswered and unanswered >= made, "%d documents had to be made again", made)
    say("   (This machine was busy: Redis did not answer in time, and %d documents were made.)",
        made)
end

local function cold_start(self)
    step("1. Cold start: nothing is cached anywhere.",
         format("%d requests to host A, %d at a time.", REPLAYED, CONNECTIONS))
    self.watch = function(answer)
        if answer.tier == "rendered" then
            self.made_by[answer.path] = answer.worker
        end
    end
    local result = replay(self, self.a, REPLAYED)
    show(result)
    self.watch = nil
    expect(result:count("rendered") > 0, "nothing was rendered, so something was cached before")
    expect(result:count("memory") > 0, "no document was found again in memory")
    say("   A document is made once (sometimes more than once, if it is asked for again before it"
        .. "\n   is ready) and from then on found: %d of %d answers needed no work.",
        result.all - result:count("rendered"), result.all)
end

local function warm(self)
    step("2. Warm: the same requests again.")
    local by_another = 0
    self.watch = function(answer)
        if answer.tier == "memory" and self.made_by[answer.path] ~= answer.worker then
            by_another = by_another + 1
        end
    end
    local result = replay(self, self.a, REPLAYED)
    show(result)
    self.watch = nil
    expect_nothing_made(self.a, result)
    expect(result:count("memory") * 2 > result.all, "memory answered %d of %d requests only",
           result:count("memory"), result.all)

    local workers = {}
    for pid, count in pairs(result.workers) do
        workers[#workers + 1] = format("worker %d answered %d", pid, count)
    end
    table.sort(workers)
    say("   The workers share one memory: %s;\n   %d answers from memory were of documents that the"
        .. " other worker had made.", table.concat(workers, ", "), by_another)
    expect(#workers == 2, "%d workers answered, not 2", #workers)
    expect(by_another > 0, "no worker found what the other had made")
    if result:count("redis") > 0 then
        say("   Those from Redis had been cached before Redis told this host of changes, or another"
            .. "\n   request for them came in between: so they were asked for anew.")
    end
end

local function second_host(self)
    step("3. A second host: the same requests to host B, whose memory is empty.")
    local result = replay(self, self.b, REPLAYED)
    show(result)
    expect(result:count("redis") > 0, "no document was found in Redis")
    expect(result:count("memory") > 0, "no document was found again in memory")
    if expect_nothing_made(self.b, result) then
        say("   It made nothing: what A had made it found in Redis, and kept.")
    end
end

local function plain_values(self)
    local key = PREFIX .. self.popular
    step("4. Redis holds plain values: any program can read them.")
    local seen = self.redis:cli("GET", key)
    local served = get(self.b, self.popular).body
    say("   $ redis-cli -p %d GET %s", self.redis.port, key)
    say("   %s...  (%d bytes)", seen:sub(1, 60), #seen)
    say("   $ redis-cli -p %d TTL %s\n   %s", self.redis.port, key, self.redis:cli("TTL", key))
    expect(seen == served, "that is not what host B serves")
end

local function foreign_write(self)
    step("5. ... and write them: another program says that product " .. self.popular
         .. " is sold out.")
    wait_for_tracking(self)
    local before = get(self.a, self.popular).body
    for _, host in ipairs({ self.a, self.b }) do
        wait_for("an answer from memory", function()
            return get(host, self.popular).tier == "memory"
        end)
    end
    local stock = before:match('"stock":(%d+)')
    expect(stock, "the document of product %s has no stock", self.popular)
    local after = before:gsub('"stock":%d+', '"stock":' .. (stock == "0" and 1 or 0))

    local said = self.redis:cli("SET", PREFIX .. self.popular, after, "EX", "600")
    expect(said == "OK", "redis-cli SET said: %s", said)
    local written, old, seen = system.now(), 0, {}
    wait_for("the new value on both hosts", function()
        for name, host in pairs({ A = self.a, B = self.b }) do
            if not seen[name] then
                if get(host, self.popular).body == after then
                    seen[name] = system.now() - written
                else
                    old = old + 1
                end
            end
        end
        return seen.A and seen.B
    end)
    say("   Both had the old one in memory.  Redis told them of the change: host A served the new"
        .. "\n   document %.1f ms after redis-cli had ended, host B %.1f ms, and the old one was"
        .. "\n   served %s after that.  (Promised: a round trip; if the link were lost just then,"
        .. "\n   max_stale, %d s.)", seen.A * 1000, seen.B * 1000,
        old == 0 and "not once" or old == 1 and "once" or old .. " times", MAX_STALE)
    expect(math.max(seen.A, seen.B) <= MAX_STALE + SLACK, "that is later than promised")
end

local function redis_stopped(self)
    replay(self, self.a, 400) -- so that most of what follows is fresh at first
    step("6. Redis hangs: kill -STOP " .. self.redis.pid .. ", and the requests go on.")
    system.kill(self.redis.pid, system.SIGSTOP)
    local started = system.now()
    local result = send(self, self.a, function(_, so_far)
        local elapsed = system.now() - started
        return elapsed > MAX_STALE + 1 and so_far:count("stale") >= 300 or elapsed > PATIENCE
    end, true)
    show(result)
    say("   %d requests in %.1f s, none lost.  Memory answers: as fresh for max_stale after the"
        .. "\n   tracking link's last sign of life, then as \"stale\".  What memory has not got is"
        .. "\n   rendered.  Who asks Redis in vain waits for `timeout`, 0.25 s, until the breaker"
        .. "\n   opens; nobody else waits: see /ping, which needs no cache.", result.all,
        system.now() - started)
    expect(result:count("memory") > 0, "memory did not answer")
    expect(result:count("stale") > 0, "nothing was served as stale")
    expect(result:client_us("(/ping)", 0.5) < 100000, "/ping was held up by Redis")

    local first, second = get(self.a, self.unasked), get(self.a, self.unasked)
    say("   Product %s, asked for by nobody before: %s, then from %s.", self.unasked, first.tier,
        second.tier)
    expect(first.tier == "rendered", "it should have been rendered")
    expect(second.tier ~= "rendered", "memory should have kept it")
end

local function redis_killed(self)
    step("7. Redis dies: kill -KILL " .. self.redis.pid .. ".")
    self.redis:kill()
    local result = replay(self, self.a, 600)
    show(result)
    expect(result:count("memory") + result:count("stale") > 0, "memory did not answer")
    say("   The site is up.")
end

local function redis_back(self)
    step("8. Redis is started again, with the data it had on disk.")
    self.redis:restart()
    local started, fresh, seen, result = system.now(), {}, 0, nil
    self.watch = function(answer)
        if (answer.tier == "redis" or answer.tier == "memory") and not fresh[answer.worker] then
            fresh[answer.worker] = system.now() - started
            seen = seen + 1
        end
    end
    wait_for("a fresh answer by each worker", function()
        replay(self, self.a, 100)
        return seen == 2
    end)
    wait_for_tracking(self)
    wait_for("nothing but fresh answers", function()
        result = replay(self, self.a, 600)
        return result:count("stale") == 0
    end)
    self.watch = nil
    for pid, seconds in pairs(fresh) do
        say("   Worker %d gave a fresh answer after %.2f s.", pid, seconds)
    end
    say("   After %.2f s the tracking links were back, and all answers fresh:",
        system.now() - started)
    show(result)
    expect(result:count("redis") + result:count("memory") > 0, "neither tier answered")

    wait_for("product " .. self.unasked .. " in Redis", function()
        get(self.a, self.unasked)
        return self.redis:cli("EXISTS", PREFIX .. self.unasked) == "1"
    end)
    say("   Product %s, which was made while Redis was away, is in Redis now as well.",
        self.unasked)
end

-- -- The numbers ---------------------------------------------------------------------------------

local SHOWN = {
    "hits", "misses", "avg_hit_rate", "entries", "memory_usage_bytes", "eviction_count",
    "memory.near_hits", "memory.hits", "memory.stale", "memory.misses", "memory.capacity_bytes",
    "redis.hits", "redis.misses", "redis.unanswered", "redis.degraded_writes", "redis.commands",
    "redis.connects", "redis.disconnects", "redis.timeouts", "redis.state",
    "tracking.invalidations", "tracking.verifies", "tracking.gaps", "tracking.state",
}

local function show_number(text)
    local number = tonumber(text)
    if not number then
        return text or "?"
    end
    return number % 1 == 0 and format("%d", number) or format("%.3f", number)
end

local function numbers(self)
    wait_for_tracking(self)
    for _, host in ipairs({ self.a, self.b }) do
        wait_for("Redis", function()
            get(host, self.popular) -- a worker tries Redis again when it is asked something
            return stats_of(host)["redis.state"] == "up"
        end)
    end
    step("What cache:stats() says, over all workers of a host (GET /stats has it all):")
    local a, b = stats_of(self.a), stats_of(self.b)
    say("     %-24s %12s %12s", "", "host A", "host B")
    for _, name in ipairs(SHOWN) do
        say("     %-24s %12s %12s", name, show_number(a[name]), show_number(b[name]))
        expect(a[name] and b[name], "stats() has no %s", name)
    end
end

-- -- All of it -----------------------------------------------------------------------------------

-- The number asked for most, and one that nobody asks for.
local function popular_and_unasked(requests)
    local count, most = {}, nil
    for _, id in ipairs(requests) do
        count[id] = (count[id] or 0) + 1
        most = most and count[most] >= count[id] and most or id
    end
    local unasked = 1
    while count[tostring(unasked)] do
        unasked = unasked + 1
    end
    return most, tostring(unasked)
end

local function read_requests(path)
    local requests = {}
    for line in io.lines(path) do
        requests[#requests + 1] = line
    end
    return requests
end

--- Tells it.  Raises { failed = sentence } when a step does not come out as told, and
-- { signal = number } when this process is asked to end.
-- @param root of the source tree
-- @param redis, a, b what demo.servers started
-- @return a product that is worth looking at
local function tell(root, redis, a, b)
    local requests = read_requests(root .. "/examples/requests.txt")
    local popular, unasked = popular_and_unasked(requests)
    local self = setmetatable({
        redis = redis, a = a, b = b, requests = requests, popular = popular, unasked = unasked,
        made_by = {},
    }, Story)
    cold_start(self)
    warm(self)
    second_host(self)
    plain_values(self)
    foreign_write(self)
    redis_stopped(self)
    redis_killed(self)
    redis_back(self)
    numbers(self)
    return popular
end

return { tell = tell, say = say }
