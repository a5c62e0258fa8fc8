--- The world of the soak: three hosts, each an nginx of two workers with a segment of its own, two
-- other programs, and the Redis that all of them write to.

local ffi = require "ffi"
local http = require "spec.support.http"
local laters = require "spec.support.later"
local ledger = require "spec.support.ledger"
local nginx = require "spec.support.nginx"
local proxy = require "spec.support.proxy"
local redis = require "spec.support.redis"
local run = require "spec.support.run"

local HOSTS, WORKERS, OTHERS = 3, 2, 2
local OURS = HOSTS * WORKERS
local WRITERS = OURS + OTHERS
local MAX_STALE = 1
local TIMEOUT = 2
local QUEUES = 3 -- the host that degrades

local folder = run.temp_dir()
local later, undo_due = laters()

-- server, book and others are there once it is started; book: the ledger of what was written.
local world = {
    HOSTS = HOSTS, WORKERS = WORKERS, OTHERS = OTHERS, WRITERS = WRITERS,
    MAX_STALE = MAX_STALE, TIMEOUT = TIMEOUT,
    STEADY = 1,      -- the host that nothing is done to but stops
    STANDSTILL = 60, -- in which who is not stopped must have done something, on any machine
    hosts = {}, later = later, undo_due = undo_due,
}
local hosts = world.hosts
local began = run.now()
local away_until = 0 -- Redis may not answer until then

function world.seconds()
    return run.now() - began
end

function world.say(...)
    print(("soak: %4d s: "):format(world.seconds()) .. (...):format(select(2, ...)))
    io.stdout:flush()
end

function world.redis_answers()
    return run.now() > away_until
end

function world.be_away(seconds)
    away_until = run.now() + seconds + 1
end

--- What a host answers.
function world.get(host, uri)
    local answer = http.request(host.web, uri, { seconds = world.STANDSTILL })
    if answer.status ~= 200 then
        error(("host %d: %s: %s"):format(host.number, uri, answer.err or answer.status), 0)
    end
    return answer.body
end

-- -- Starting ------------------------------------------------------------------------------------

local clock_file = folder .. "/clock"

--- Has the hosts' wall clock be so many seconds from what it is.
function world.set_clock(seconds)
    local file = assert(io.open(clock_file, "r+b"))
    file:write(ffi.string(ffi.new("long[1]", seconds), 8))
    assert(file:close())
end

local function compile_clock()
    local library = folder .. "/clock.so"
    local output, status = run.run({ os.getenv("CC") or "cc", "-shared", "-fPIC", "-D_GNU_SOURCE",
                                     "-o", library, run.root .. "/spec/soak/clock.c", "-ldl" })
    assert(status == 0, output)
    run.write_file(clock_file, ("\0"):rep(8))
    return library
end

local INIT = [[
    cache = assert(require("resty.tandem").new("soak", { memory = "2m", redis = %q, prefix = "s:",
        max_stale = %d, timeout = %d, connect_timeout = %d, on_redis_error = %q }))
]]
local INIT_WORKER = [[
    require("spec.soak.worker").start({ cache = cache, ledger = %q, max_stale = %d,
        on_redis_error = %q, host = %d, workers = %d, writers = %d, folder = %q })
]]
local LOCATIONS = {
    ["/look"] = [[ ngx.print(require("spec.soak.worker").look(cache)) ]],
    ["/pause"] = [[ ngx.shared.soak:set("paused", ngx.var.arg_on == "1") ngx.print("done") ]],
    ["/state"] = [[ ngx.print(cache:stats().tracking.state) ]],
    ["/resets"] = [[
        local memory = cache:stats().memory
        ngx.print(memory.resets, " ", memory.shards_out_of_service, " ", memory.lock_timeouts)
    ]],
    ["/fetch"] = [[
        local key = "f" .. ngx.var.arg_n
        local value, err = cache:fetch(key, function()
            ngx.sleep(0.01)
            return key .. " is loaded"
        end, { ttl = 1 })
        ngx.print(tostring(value or err))
    ]],
    -- Values of all sizes, more than there is room for.
    ["/press"] = [[
        for i = 1, 80 do
            cache:set("junk" .. i, ("x"):rep(math.random(0, 30000)), 5)
        end
        ngx.print("done")
    ]],
}

local function start_host(number, clock)
    local way = proxy.start(world.server.port)
    local policy = number == QUEUES and "degrade" or "fail"
    local web = nginx.start({
        workers = WORKERS, http = "lua_shared_dict soak 1m;",
        main = "worker_shutdown_timeout 30s;",
        init = INIT:format(way:url(), MAX_STALE, TIMEOUT, TIMEOUT, policy),
        init_worker = INIT_WORKER:format(folder .. "/ledger", MAX_STALE, policy, number - 1,
                                         WORKERS, WRITERS, folder),
        locations = LOCATIONS, env = { LD_PRELOAD = clock, TANDEM_SOAK_CLOCK = clock_file },
    })
    return { number = number, web = web, way = way, cuts = 0, may_cut = 0, stopped = {} }
end

function world.start()
    local clock = compile_clock()
    world.server = redis.start({ arguments = { "--appendonly", "yes", "--appendfsync", "no" } })
    run.write_file(folder .. "/ledger", ledger.empty())
    world.book = ledger.open(folder .. "/ledger")
    for number = 1, HOSTS do
        hosts[number] = start_host(number, clock)
    end
    world.others = {}
    for number = OURS, WRITERS - 1 do
        world.others[number] = run.start_lua(
            ("arg = { %q, %d, %d, %q } dofile(%q)"):format(folder .. "/ledger", number, WRITERS,
                ("{ port = %d, prefix = 's:' }"):format(world.server.port),
                run.root .. "/spec/support/stress.lua"))
    end
end

return world
