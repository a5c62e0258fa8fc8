--- The soak's moments of peace: all is left alone until each host has of every key what Redis has,
-- and has it still when what was fresh has become stale.  Then processes are measured.

local ledger = require "spec.support.ledger"
local requests = require "spec.soak.requests"
local run = require "spec.support.run"
local world = require "spec.soak.world"

local MAX_STALE, STANDSTILL, STEADY = world.MAX_STALE, world.STANDSTILL, world.STEADY
local WORKERS = world.WORKERS

local get = world.get
local hosts = world.hosts

local _M = {}

local function truth()
    local client, values = world.server:connect(), {}
    for key = 0, ledger.KEYS - 1 do
        values[key + 1] = client:call("GET", "s:" .. key) or "-"
    end
    client:close()
    return values
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
    for _, process in pairs(world.others) do
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

--- Left alone, all become equal, and stay so when what was fresh for a while only is stale.
function _M.keep()
    world.undo_due(true)
    requests.finish()
    world.server:mend()
    world.be_away(0)
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
    pause(false)
end

--- Raises when what was measured has grown.
function _M.check_growth()
    -- The first peace may be before every thread and connection is there; the second is not.
    local first, last = sizes[math.min(2, #sizes)], sizes[#sizes]
    for pid, before in pairs(first) do
        local now = assert(last[pid], "a worker of the host that is left alone has gone")
        world.say("worker %d: %d descriptors, %d threads, %d KiB; now %d, %d, %d", pid, before.fds,
            before.threads, before.rss, now.fds, now.threads, now.rss)
        assert(now.fds <= before.fds + 8, "descriptors grow")
        assert(now.threads <= before.threads, "threads grow")
        assert(now.rss <= before.rss * 1.25 + 8192, "memory grows")
    end
    for _, host in ipairs(hosts) do
        world.say("host %d: %d files in its folder for sockets, at most %d, now %d", host.number,
            host.first, host.most, host.leftovers)
        assert(host.leftovers <= host.first + 4, "files for sockets grow")
    end
end

return _M
