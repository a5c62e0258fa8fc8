--- What a fleet of hosts would ask of its Redis, and what gives first: a simulation, from what was
-- measured of single operations (bench/results/coherence.json).  docs/scaling.md: what comes of it.
--
--   luajit bench/plan.lua [NAME=NUMBER...]
--
-- hosts, workers     hosts, and workers of each
-- nodes              Redis servers, each with its part of the keys and one core
-- requests           reads of the cache a second, of a host
-- misses             of those, the part that asks Redis
-- writes             of those requests, the part that changes a key
-- links              tracking links of a host to each node
-- seconds            simulated, of one node
--
-- A node is simulated turn by turn, as Redis works: what came in during a turn is dealt with in the
-- next one; at its end each link is told of all keys that changed in it, in one message.

local folder = arg[0]:match("^(.*)/[^/]*$") or "."
package.path = folder .. "/?.lua;" .. package.path

local cjson = require "cjson"

local files = require "lib.files"

local FLEET = { hosts = 100, workers = 32, nodes = 50, requests = 100000, misses = 0.02,
                writes = 0.001, links = 2, seconds = 5 }
local BATCH = 200 -- keys in a batch of bench/redis/coherence.c, and its most links

-- Of a connection in Redis, in bytes: INFO memory of Redis 7.0 with 1000 of them.
local IDLE_BYTES, BUSY_BYTES = 6400, 38000
local KEY_BYTES = 20.5 -- of a message, for each key

-- CPU times, in us, from the measured sums: of a turn, of an operation, and of a link for each
-- message and for each key in it.
local function costs_of(measured)
    local redis, host = measured.redis, measured.host
    local lone, full = redis["0 single"].us, redis["0 batch"].us
    local write = (full * BATCH - lone) / (BATCH - 1)
    local told_one = (redis["200 single"].us - lone) / BATCH
    local told_many = (redis["200 batch"].us - full) / BATCH * BATCH
    local key = (told_many - told_one) / (BATCH - 1)
    local host_key = (host.batch * BATCH - host.single) / (BATCH - 1)
    return { turn = lone - write, operation = write, message = told_one - key, key = key,
             host_message = host.single - host_key, host_key = host_key }
end

-- Poisson's, by Knuth for few and by the normal distribution for many.
local function draw(mean)
    if mean > 50 then
        local normal = math.sqrt(-2 * math.log(1 - math.random()))
                       * math.cos(2 * math.pi * math.random())
        return math.max(0, math.floor(mean + normal * math.sqrt(mean) + 0.5))
    end
    local n, product, limit = 0, math.random(), math.exp(-mean)
    while product > limit do
        n, product = n + 1, product * math.random()
    end
    return n
end

local function percentile(turns, part)
    table.sort(turns)
    return turns[math.max(1, math.ceil(#turns * part))] or 0
end

-- One node for so long.  rates in operations a us.
local function simulate(costs, reads, writes, links, seconds)
    local now, stop, busy, messages, turns = 0, seconds * 1e6, 0, 0, {}
    local waiting_reads, waiting_writes = 0, 0
    while now < stop do
        local took
        if waiting_reads + waiting_writes > 0 then
            took = costs.turn + (waiting_reads + waiting_writes) * costs.operation
            if waiting_writes > 0 then
                took = took + links * (costs.message + waiting_writes * costs.key)
                messages = messages + 1
            end
            busy, turns[#turns + 1] = busy + took, took
        else
            took = -math.log(1 - math.random()) / (reads + writes) -- asleep until something comes
        end
        now = now + took
        waiting_reads, waiting_writes = draw(reads * took), draw(writes * took)
        if waiting_reads + waiting_writes > 1e6 then -- it gets further and further behind
            return { core = 1, behind = true, messages = messages / now * 1e6, turn = took }
        end
    end
    return { core = busy / now, messages = messages / now * 1e6, turn = percentile(turns, 0.99) }
end

local function plan(fleet, costs)
    local requests = fleet.hosts * fleet.requests
    local writes = requests * fleet.writes
    local reads = requests * fleet.misses
    local links = fleet.hosts * fleet.links
    local node = simulate(costs, reads / fleet.nodes / 1e6, writes / fleet.nodes / 1e6, links,
                          fleet.seconds)
    local connections = fleet.hosts * (fleet.workers + fleet.links)
    local messages = node.messages * fleet.nodes * fleet.links
    return {
        node = node, writes = writes, reads = reads,
        connections = connections, host_connections = fleet.nodes * (fleet.workers + fleet.links),
        idle = connections * IDLE_BYTES, busy = connections * BUSY_BYTES,
        host_core = (messages * costs.host_message + writes * fleet.links * costs.host_key) / 1e6,
        out = writes / fleet.nodes * links * KEY_BYTES, into = writes * fleet.links * KEY_BYTES,
    }
end

local function options()
    local fleet = setmetatable({}, { __index = FLEET })
    for _, word in ipairs(arg) do
        local name, number = word:match("^(%a+)=([%d.e]+)$")
        if not name or not FLEET[name] or not tonumber(number) then
            io.stderr:write("bench/plan.lua: what is " .. word .. "?  See its head\n")
            os.exit(2)
        end
        fleet[name] = tonumber(number)
    end
    return fleet
end

local function say(...)
    print(string.format(...))
end

local fleet = options()
local costs = costs_of(cjson.decode(files.read(folder .. "/results/coherence.json")).result)
say("measured: a turn %.1f us, an operation %.2f; a link: a message %.2f, a key in it %.3f; "
    .. "a host: a message %.2f, a key %.2f", costs.turn, costs.operation, costs.message, costs.key,
    costs.host_message, costs.host_key)
math.randomseed(1)
local p = plan(fleet, costs)
say("%d hosts x %d workers, %d nodes; %.0f reads and %.0f writes a second reach Redis", fleet.hosts,
    fleet.workers, fleet.nodes, p.reads, p.writes)
say("  a node         %5.1f %% of a core%s; a turn, p99: %.2f ms", p.node.core * 100,
    p.node.behind and ", AND BEHIND" or "", p.node.turn / 1000)
say("                 %d connections, %.0f to %.0f MB; %.1f MB/s of messages out", p.connections,
    p.idle / 1e6, p.busy / 1e6, p.out / 1e6)
say("  a host         %5.1f %% of a core for messages, in %d threads; %.2f MB/s in; %d connections",
    p.host_core * 100, fleet.links, p.into / 1e6, p.host_connections)
