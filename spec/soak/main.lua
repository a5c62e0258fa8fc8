--- Three hosts, each an nginx of two workers with a segment of its own, and two other programs that
-- write to the same Redis, while everything happens to them that can be made to happen.
--
--   luajit spec/soak/main.lua SECONDS [SEED]
--
-- All the time each value that is read says itself whether it is whole, its key's, and new enough;
-- requests are answered; and every 15 seconds all is left in peace, until each host has of every
-- key what Redis has.  At the end nothing has grown, and the logs have no errors but those made
-- here.
-- Prints what was done and seen, and "soak: passed" or "soak: FAILED" and why; exits 0 or 1.

local http = require "spec.support.http"
local laters = require "spec.support.later"
local ledger = require "spec.support.ledger"
local nginx = require "spec.support.nginx"
local proxy = require "spec.support.proxy"
local redis = require "spec.support.redis"
local run = require "spec.support.run"
local signal = require "posix.signal"
local stressing = require "spec.support.stressing"

local SECONDS = assert(tonumber(arg[1]), "usage: luajit spec/soak/main.lua SECONDS [SEED]")
local SEED = tonumber(arg[2]) or os.time()
local HOSTS, WORKERS, OTHERS = 3, 2, 2
local OURS = HOSTS * WORKERS
local WRITERS = OURS + OTHERS
local MAX_STALE = 1
local TIMEOUT = 2
local PEACE_EVERY = 15
local STANDSTILL = 60 -- in which who is not stopped must have done something, on any machine
local SETTLES = 2 -- what a process that was killed had sent is with a Redis that answers by then
local STEADY, QUEUES = 1, 3 -- the host that nothing is done to but stops; the one that degrades

math.randomseed(SEED)
local began = run.now()
local folder = run.temp_dir()
local server, book, others
local hosts = {}
local happened = {}
local later, undo_due = laters()
local away_until = 0 -- Redis may not answer until then
local requests, cut = 0, 0

local function say(...)
    print(("soak: %4d s: "):format(run.now() - began) .. (...):format(select(2, ...)))
    io.stdout:flush()
end

local function happens(what)
    happened[what] = (happened[what] or 0) + 1
end

-- -- The world -----------------------------------------------------------------------------------

local clock_file = folder .. "/clock"

local function set_clock(seconds)
    local file = assert(io.open(clock_file, "r+b"))
    file:write(require("ffi").string(require("ffi").new("long[1]", seconds), 8))
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
    local way = proxy.start(server.port)
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

local function start_world()
    local clock = compile_clock()
    server = redis.start({ arguments = { "--appendonly", "yes", "--appendfsync", "no" } })
    run.write_file(folder .. "/ledger", ledger.empty())
    book = ledger.open(folder .. "/ledger")
    for number = 1, HOSTS do
        hosts[number] = start_host(number, clock)
    end
    others = {}
    for number = OURS, WRITERS - 1 do
        others[number] = run.start_lua(
            ("arg = { %q, %d, %d, %q } dofile(%q)"):format(folder .. "/ledger", number, WRITERS,
                ("{ port = %d, prefix = 's:' }"):format(server.port),
                run.root .. "/spec/support/stress.lua"))
    end
end

-- -- What is looked at all the time ---------------------------------------------------------------

local EXPECTED = { "exited on signal 9" } -- of workers that are killed here

local function check_logs()
    for _, host in ipairs(hosts) do
        local problem = host.web:problems(EXPECTED)[1]
        if problem then
            error(("host %d logs: %s"):format(host.number, problem), 0)
        end
    end
end

local function check_others()
    for number, process in pairs(others) do
        if not process:alive() then
            error(("writer %d: %s"):format(number, process:read_all()), 0)
        end
    end
end

-- Who is stopped need do nothing; who is not, must.
local progress = {}

local function check_progress()
    for number = 0, WRITERS - 1 do
        local host, last = hosts[math.floor(number / WORKERS) + 1], progress[number]
        local count = book:counted(number, stressing.READS)
        if not last or count ~= last.count or host and next(host.stopped) then
            progress[number] = { count = count, since = run.now() }
        elseif run.now() - last.since > STANDSTILL then
            error("process " .. number .. " stands still", 0)
        end
    end
end

local URIS = { "/plain", "/fetch?n=%d" }

local function send(host, uri, n)
    local request = http.send(host.web, uri)
    request.uri = uri
    request.expects = uri == "/plain" and "plain" or uri == "/press" and "done"
                      or ("f%d is loaded"):format(n)
    requests = requests + 1
    return request
end

-- A kill may cut off what the worker was at: a request and a flood.
local function check_answer(host, request)
    if request.err then
        host.cuts, cut = host.cuts + 1, cut + 1
        if host.cuts > host.may_cut then
            error(("host %d: %s, and nobody was killed: %s"):format(host.number, request.uri,
                                                                   request.err), 0)
        end
    elseif request.status ~= 200 or request.body ~= request.expects then
        error(("host %d: %s: %d %s"):format(host.number, request.uri, request.status,
                                            request.body), 0)
    end
end

-- Looks whether what a host was asked has been answered.
local function look_for_answer(host, which)
    local request = host[which]
    if request and (request.err or not request:is_waiting()) then
        check_answer(host, request.err and request or request:wait(STANDSTILL))
        host[which] = nil
    elseif request and run.now() - request.began > STANDSTILL then
        error(("host %d does not answer %s"):format(host.number, request.uri), 0)
    end
end

-- One request of each host is under way at a time, beside a flood.
local function ask()
    for _, host in ipairs(hosts) do
        look_for_answer(host, "flood")
        look_for_answer(host, "request")
        if not host.request then
            local n = math.random(60)
            host.request = send(host, URIS[math.random(#URIS)]:format(n), n)
        end
    end
end

-- Waits for the answers that are under way.
local function finish_asking()
    for _, host in ipairs(hosts) do
        for _, which in ipairs({ "flood", "request" }) do
            local request = host[which]
            if request then
                check_answer(host, request.err and request or request:wait(STANDSTILL))
                host[which] = nil
            end
        end
    end
end

-- -- What happens ---------------------------------------------------------------------------------

local function redis_answers()
    return run.now() > away_until
end

local function be_away(seconds)
    away_until = run.now() + seconds + 1
end

local function any_host(with_steady)
    return hosts[math.random(with_steady and 1 or STEADY + 1, HOSTS)]
end

-- Its workers write no more until Redis has had time for what the dead one had sent.
local function note_death(host)
    for worker = 0, WORKERS - 1 do
        local number = (host.number - 1) * WORKERS + worker
        book:note_death(number)
        later(SETTLES, function() book:note_settled(number) end)
    end
end

-- Redis is dead or stops for some seconds: nobody is killed meanwhile.
local function hold_redis(seconds, mend)
    be_away(seconds)
    later(seconds, function()
        mend()
        be_away(0)
    end)
end

local EVENTS = {
    function()
        local host = any_host()
        local pids = host.web:workers()
        if not redis_answers() or next(host.stopped) or #pids == 0 then
            return
        end
        note_death(host)
        be_away(SETTLES) -- and Redis is left alone for as long
        host.may_cut = host.may_cut + 2
        signal.kill(pids[math.random(#pids)], signal.SIGKILL)
        return "workers killed"
    end,
    function()
        local host = any_host(true)
        local pids = host.web:workers()
        local pid = pids[math.random(#pids)]
        if pid and not host.stopped[pid] then
            host.stopped[pid] = true
            signal.kill(pid, signal.SIGSTOP)
            later(math.random() * 2, function()
                signal.kill(pid, signal.SIGCONT)
                host.stopped[pid] = nil
            end)
            return "workers stopped"
        end
    end,
    function()
        local host = any_host()
        if redis_answers() and not next(host.stopped) and #host.web:workers() == WORKERS then
            host.may_cut = host.may_cut + 2
            host.web.process:signal("HUP")
            return "reloads"
        end
    end,
    function()
        local way = any_host(true).way
        if way.links == "pass" then
            way:treat_links(math.random(2) == 1 and "swallow" or "cut")
            later(math.random() * 2.5, function() way:treat_links("pass") end)
            return "links cut"
        end
    end,
    function()
        local way = any_host(true).way
        if way.delay == 0 and redis_answers() then
            way:hold_up(math.random(1, 60))
            hold_redis(math.random() * 2, function() way:hold_up(0) end)
            return "ways slowed"
        end
    end,
    function()
        if redis_answers() then
            server:call("CLIENT", "KILL", "TYPE", math.random(2) == 1 and "pubsub" or "normal")
            return "connections killed"
        end
    end,
    function()
        if redis_answers() then
            server.process:signal("STOP")
            hold_redis(math.random(5) == 1 and TIMEOUT + 0.5 or math.random() * 0.4,
                       function() server:thaw() end)
            return "stops of Redis"
        end
    end,
    function()
        if redis_answers() and math.random(3) == 1 then
            server:kill()
            local loses = math.random(3) == 1
            if loses then
                run.run({ "rm", "-rf", server.folder .. "/appendonlydir" })
                book:lose()
            end
            hold_redis(math.random() * 2, function() server:restart() end)
            return loses and "restarts of Redis without its keys" or "restarts of Redis"
        end
    end,
    function()
        local host = any_host(true)
        if not host.flood then
            host.flood = send(host, "/press") -- its worker may be stopped
            return "floods of values"
        end
    end,
    function()
        set_clock(math.random(-400, 400) * 86400)
        return "steps of the wall clock"
    end,
}

-- -- Peace ----------------------------------------------------------------------------------------

local function truth()
    local client, values = server:connect(), {}
    for key = 0, ledger.KEYS - 1 do
        values[key + 1] = client:call("GET", "s:" .. key) or "-"
    end
    client:close()
    return values
end

local function get(host, uri)
    local answer = http.request(host.web, uri, { seconds = STANDSTILL })
    if answer.status ~= 200 then
        error(("host %d: %s: %s"):format(host.number, uri, answer.err or answer.status), 0)
    end
    return answer.body
end

-- The first key of which a host has, or answers, something else; and how many it has in memory.
local function differing(host, values)
    local key, held = 0, 0
    for has, gets in (get(host, "/look") .. "\n"):gmatch("([^\t\n]*)\t([^\n]*)\n") do
        key = key + 1
        if gets ~= values[key] or has ~= "-" and has ~= values[key] then
            return ("host %d, key %d: memory has %s, get says %s, Redis has %s"):format(
                host.number, key - 1, has, gets, values[key])
        end
        held = held + (has ~= "-" and 1 or 0)
    end
    if key ~= ledger.KEYS then
        return ("host %d names %d keys"):format(host.number, key)
    end
    return nil, held
end

local function all_equal()
    local values = truth()
    for _, host in ipairs(hosts) do
        local difference, held = differing(host, values)
        if difference then
            return nil, difference
        elseif get(host, "/state") ~= "on" or held == 0 then
            return nil, ("host %d is not under a lease"):format(host.number)
        end
    end
    return true
end

local function await_settled()
    run.wait_until("workers are replaced", function()
        for _, host in ipairs(hosts) do
            if #host.web:workers() ~= WORKERS then
                return false
            end
        end
        return true
    end, STANDSTILL)
end

local function pause(on)
    for _, host in ipairs(hosts) do
        get(host, "/pause?on=" .. (on and 1 or 0))
    end
    for _, process in pairs(others) do
        process:signal(on and "STOP" or "CONT")
    end
end

-- Descriptors, threads, KiB in memory of a process.
local function measure(pid)
    local status = run.read_file("/proc/" .. pid .. "/status") or ""
    return { fds = #(require("posix.dirent").dir("/proc/" .. pid .. "/fd") or {}),
             threads = tonumber(status:match("Threads:%s*(%d+)")),
             rss = tonumber(status:match("VmRSS:%s*(%d+)")) }
end

local sizes = {} -- of the steady host's workers, at each peace

local function measure_all()
    local now = {}
    for _, pid in ipairs(hosts[STEADY].web:workers()) do
        now[pid] = measure(pid)
    end
    sizes[#sizes + 1] = now
    for _, host in ipairs(hosts) do
        host.leftovers = #host.web:leftovers()
        host.most = math.max(host.most or host.leftovers, host.leftovers)
        host.first = host.first or host.leftovers
    end
end

-- Left alone, all become equal, and stay so when what was fresh for a while only is stale.
local function peace()
    undo_due(true)
    finish_asking()
    server:mend()
    be_away(0)
    await_settled()
    pause(true)
    local why
    local ok = pcall(run.wait_until, "all are equal", function()
        local equal, difference = all_equal()
        why = difference
        return equal
    end, STANDSTILL)
    if not ok then
        error("not coherent when left in peace: " .. why, 0)
    end
    run.nap(MAX_STALE * 1000 + 100)
    local values = truth()
    for _, host in ipairs(hosts) do
        local difference = differing(host, values)
        if difference then
            error("not coherent any more: " .. difference, 0)
        end
    end
    measure_all()
    check_logs()
    pause(false)
    happens("comparisons in peace")
end

-- -- The end --------------------------------------------------------------------------------------

local function check_growth()
    -- The first peace may be before every thread and connection is there; the second is not.
    local first, last = sizes[math.min(2, #sizes)], sizes[#sizes]
    for pid, before in pairs(first) do
        local now = assert(last[pid], "a worker of the host that is left alone has gone")
        say("worker %d: %d descriptors, %d threads, %d KiB; now %d, %d, %d", pid, before.fds,
            before.threads, before.rss, now.fds, now.threads, now.rss)
        assert(now.fds <= before.fds + 8, "descriptors grow")
        assert(now.threads <= before.threads, "threads grow")
        assert(now.rss <= before.rss * 1.25 + 8192, "memory grows")
    end
    for _, host in ipairs(hosts) do
        say("host %d: %d files in its folder for sockets, at most %d, now %d", host.number,
            host.first, host.most, host.leftovers)
        assert(host.leftovers <= host.first + 4, "files for sockets grow")
    end
end

local function sum(which)
    local n = 0
    for number = 0, WRITERS - 1 do
        n = n + book:counted(number, which)
    end
    return n
end

local function soak()
    start_world()
    say("seed %d; %d hosts of %d workers, %d other programs", SEED, HOSTS, WORKERS, OTHERS)
    local next_peace, next_log = run.now() + PEACE_EVERY / 3, 0
    while run.now() - began < SECONDS do
        run.nap(80)
        undo_due()
        ask()
        check_others()
        check_progress()
        if run.now() > next_log then
            check_logs()
            next_log = run.now() + 2
        end
        if run.now() > next_peace then
            peace()
            next_peace = run.now() + PEACE_EVERY
        elseif math.random(4) == 1 then
            local what
            for _ = 1, 5 do -- some cannot be just now
                what = what or EVENTS[math.random(#EVENTS)]()
            end
            happens(what or "idle moments")
        end
    end
    peace()
    peace()
    check_growth()
    for _, host in ipairs(hosts) do
        local resets, out, timeouts = get(host, "/resets"):match("(%d+) (%d+) (%d+)")
        assert(out == "0", "a shard is out of service")
        say("host %d: %s shards reset, %s waits for a lock given up", host.number, resets, timeouts)
    end
end

local ok, problem = xpcall(soak, function(err)
    return type(err) == "string" and err:find("\n") and err or debug.traceback(err)
end)
local events = {}
for what, n in pairs(happened) do
    events[#events + 1] = n .. " " .. what
end
table.sort(events)
if book then
    local writes, memory, from_redis = sum(stressing.WRITES), sum(stressing.MEMORY),
                                       sum(stressing.REDIS)
    local stale, failed = sum(stressing.STALE), sum(stressing.FAILED)
    say("%d operations: %d writes acknowledged; reads: %d of memory, %d of Redis, %d stale; "
        .. "%d failed", writes + memory + from_redis + stale + failed, writes, memory, from_redis,
        stale, failed)
    say("%d requests, of which %d were cut off by a kill; %s", requests, cut,
        table.concat(events, ", "))
end
if not ok then
    for _, host in ipairs(hosts) do
        say("the end of host %d's log:\n%s", host.number, host.web:log():sub(-2000))
    end
end
run.cleanup()
print(ok and "soak: passed" or ("soak: FAILED (seed %d): %s"):format(SEED, problem))
os.exit(ok and 0 or 1)
