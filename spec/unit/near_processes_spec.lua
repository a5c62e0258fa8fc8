-- Near tables of several processes on one segment: nothing that another process has changed is
-- answered after it was told that it has, and every hit is counted.

local run = require "spec.support.run"
local tandem = require "resty.tandem"

local KEYS, WRITERS, READERS, MS = 24, 2, 3, 3000

-- Each key has a serial that grows with each change, by the one writer that owns the key.  Once a
-- change is done its writer says so in `acked`, memory that all share; whoever has read there that
-- serial n is done must not get an older value any more.  A value is "serial xxx".  `gone_by` says
-- by when the value of the serial in `acked` has expired for certain: set() may take its time.
local COMMON = [[
    local ffi = require "ffi"
    local bit = require "bit"
    local poll = require "posix.poll"
    local tandem = require "resty.tandem"
    local C = require("resty.tandem.lib").C

    ffi.cdef "int open(const char *, int); void *mmap(void *, size_t, int, int, int, long);"
    local fd = ffi.C.open("@DIR@/acked", 2)
    assert(fd >= 0)
    local acked = ffi.cast("volatile uint32_t *", ffi.C.mmap(nil, 4096, 3, 1, fd, 0))
    local gone_by = ffi.cast("volatile double *", acked + 512)

    local opts = { memory = "1m", path = "@DIR@/segment" }
    local cache = assert(tandem.new("@NAME@", opts))
    opts.near = false
    local segment = assert(tandem.new("@NAME@", opts))
    local KEYS, me, of = @KEYS@, @ME@, @OF@
    local stop = C.tandem_now_ms() + @MS@
    math.randomseed(me * 1000 + @SEED@)
]]

local WRITER = COMMON .. [[
    local serials, mine = {}, {}
    for k = 1, KEYS do
        if k % of == me then
            mine[#mine + 1], serials[k] = k, 0
        end
    end

    local function change(k)
        local serial, what, ttl, err = serials[k] + 1, math.random(20), 0, nil
        serials[k] = serial
        if what <= 3 then
            err = select(2, cache:delete("key" .. k))
        else
            local padding = ("x"):rep(what <= 10 and 10 or math.random(0, 400))
            ttl = what <= 8 and math.random(2, 40) or 0
            err = select(2, cache:set("key" .. k, serial .. " " .. padding, ttl / 1000))
        end
        if not err then -- "busy": nothing was changed
            gone_by[k] = ttl > 0 and C.tandem_now_ms() + ttl or math.huge
            acked[k] = serial
        end
    end

    -- Makes all of its keys older than the clear, and says so after it.
    local function clear()
        for _, k in ipairs(mine) do
            serials[k] = serials[k] + 1
        end
        if cache:clear() then
            for _, k in ipairs(mine) do
                acked[k] = serials[k]
            end
        end
    end

    local fillers, changes = 0, 0
    while C.tandem_now_ms() < stop do
        for _ = 1, math.random(8) do
            change(mine[math.random(#mine)])
            changes = changes + 1
        end
        if math.random(500) == 1 then
            clear()
        end
        for _ = 1, math.random(100) do -- so that entries are evicted and moved
            fillers = fillers + 1
            segment:set("filler" .. me .. fillers, ("x"):rep(100))
        end
        poll.poll({}, math.random(0, 2))
    end
    print("changes", changes)
]]

local READER = COMMON .. [[
    local COARSE = 12 -- milliseconds that the clock of the hit path may be behind
    local serial_of, known, newest = {}, 0, {}
    local keys, reads = {}, 0
    for k = 1, KEYS do
        keys[k], newest[k] = "key" .. k, 0
    end

    local function learn(value)
        if known > 20000 then
            serial_of, known = {}, 0
        end
        serial_of[value], known = tonumber(value:match("^(%d+) ")), known + 1
    end

    local function fail(k, what, value, than)
        print(("bad: key %d: %s: got %s, %s"):format(k, what, tostring(value), tostring(than)))
        os.exit(1)
    end

    -- value was read after serial `least` was said to be done and to be gone by a time, and not
    -- before now.
    local function check(k, how, value, least, gone, now)
        if not serial_of[value] then
            learn(value)
        end
        local serial = serial_of[value]
        if serial < least then
            fail(k, how .. " is older than what was acknowledged", value, least)
        end
        if serial < newest[k] then
            fail(k, how .. " is older than what was read before", value, newest[k])
        end
        if serial == least and now > gone + COARSE then
            fail(k, how .. " has expired", value, now)
        end
        newest[k] = serial
    end

    while C.tandem_now_ms() < stop do
        for _ = 1, 2000 do
            local k = math.random(KEYS)
            local least, gone = acked[k], gone_by[k]
            local now = C.tandem_now_ms()
            if acked[k] == least then -- so gone_by was of that serial
                local value = cache:get(keys[k])
                reads = reads + 1
                if value then
                    check(k, "the near table's value", value, least, gone, now)
                    local again = segment:get(keys[k])
                    if again then
                        check(k, "the segment's value", again, least, gone, now)
                    end
                end
            end
        end
    end
    print("reads", reads)
]]

local function script(text, cache, dir, values)
    values.DIR, values.NAME = dir, cache.name
    values.KEYS, values.MS, values.SEED = KEYS, MS, os.time()
    return (text:gsub("@(%u+)@", function(name) return tostring(values[name]) end))
end

-- A cache in a directory of its own: returns it and the directory.
local count = 0
local function open_new()
    count = count + 1
    local dir, name = run.temp_dir(), "near-processes-" .. count
    return assert(tandem.new(name, { memory = "1m", path = dir .. "/segment" })), dir
end

describe("processes that read through near tables", function()
    teardown(run.cleanup)

    it("never get a value after its change, deletion or expiry was acknowledged", function()
        local cache, dir = open_new()
        run.write_file(dir .. "/acked", ("\0"):rep(4096))
        local processes = {}
        for i = 0, WRITERS - 1 do
            local text = script(WRITER, cache, dir, { ME = i, OF = WRITERS })
            processes[#processes + 1] = run.start_lua(text)
        end
        for i = 1, READERS do
            local text = script(READER, cache, dir, { ME = 10 + i, OF = 0 })
            processes[#processes + 1] = run.start_lua(text)
        end
        local sums = { reads = 0, changes = 0 }
        for _, process in ipairs(processes) do
            local output = process:read_all()
            local what, n = output:match("^(%l+)\t(%d+)\n$")
            assert.is_truthy(what, output)
            sums[what] = sums[what] + n
            assert.are.same({ "exited", 0 }, { process:wait() })
        end
        -- There was something to be seen.
        local stats = cache:stats().memory
        assert.is_true(sums.changes > 1000, sums.changes .. " changes")
        assert.is_true(stats.near_hits > sums.reads / 20,
                       stats.near_hits .. " near hits of " .. sums.reads .. " reads")
        assert.is_true(stats.evictions > 0)
        cache:close()
    end)
end)

describe("a process in a compiled loop", function()
    teardown(run.cleanup)

    -- What the loop waits for; how the other process does it.
    local function check_seen(left_when, change)
        local cache, dir = open_new()
        cache:set("key", "old")
        local process = run.start_lua(script([[
            local jutil = require "jit.util"
            local looped = 0
            jit.attach(function(what, trace)
                if what == "stop" and jutil.traceinfo(trace).linktype == "loop" then
                    looped = looped + 1
                end
            end, "trace")
            local cache = require("resty.tandem").new("@NAME@",
                                                      { memory = "1m", path = "@DIR@/segment" })
            print("waits")
            io.stdout:flush()
            local n = 0
            while cache:get("key") == "old" do
                n = n + 1
            end
            print(tostring(cache:get("key")), looped > 0)
        ]], cache, dir, {}))
        assert.are.equal("waits", process:read_line())
        run.wait_until("it answers itself", function()
            return cache:stats().memory.near_hits > 1e6
        end)
        change(cache)
        assert.are.equal(left_when .. "\ttrue", process:read_line(10))
        assert.are.same({ "exited", 0 }, { process:wait() })
        cache:close()
    end

    it("sees what another has set", function()
        check_seen("new", function(cache) cache:set("key", "new") end)
    end)

    it("sees that another has deleted", function()
        check_seen("nil", function(cache) cache:delete("key") end)
    end)

    it("sees that another has cleared", function()
        check_seen("nil", function(cache) cache:clear() end)
    end)

    it("sees that the time is over", function()
        check_seen("nil", function(cache) cache:set("key", "old", 0.05) end)
    end)
end)

describe("near hits", function()
    teardown(run.cleanup)

    -- More processes than there are counters, each killed before it could give its own back; all of
    -- them made by a process that has hits of its own, in the same table.
    it("are all counted, whoever is killed", function()
        local cache, dir = open_new()
        cache:set("key", "value")
        run.lua(script([[
            local signal = require "posix.signal"
            local unistd = require "posix.unistd"
            local wait = require "posix.sys.wait"
            local cache = require("resty.tandem").new("@NAME@",
                                                      { memory = "1m", path = "@DIR@/segment" })
            for _ = 1, 12 do -- the third of them, and those after it, are near hits
                assert(cache:get("key"))
            end
            for i = 1, 300 do
                local pid = unistd.fork()
                if pid == 0 then
                    for _ = 1, 8 do -- the first claims a counter
                        assert(cache:get("key"))
                    end
                    signal.kill(unistd.getpid(), signal.SIGKILL)
                end
                local _, how = wait.wait(pid)
                assert(how == "killed")
                assert(cache:get("key"))
            end
        ]], cache, dir, {}), { seconds = 60 })
        local stats = cache:stats()
        assert.are.equal(10 + 300 * 7 + 300, stats.memory.near_hits)
        assert.are.equal(12 + 300 * 8 + 300, stats.hits)
        cache:close()
    end)

    it("need a counter: who gets none reads the segment until one is free", function()
        local cache, dir = open_new()
        cache:set("key", "value")
        local out = run.lua(script([[
            local ffi = require "ffi"
            local tandem = require "resty.tandem"
            local C = require("resty.tandem.lib").C
            local function open(i)
                -- Another time-out: a handle of its own.
                return assert(tandem.new("@NAME@", { memory = "1m", timeout = i / 1000,
                                                     path = "@DIR@/segment" }))
            end
            local caches = {}
            for i = 1, 257 do
                caches[i] = open(i)
                for _ = 1, 4 do
                    assert(caches[i]:get("key") == "value")
                end
            end
            print(caches[1]:stats().memory.near_hits, caches[1]:stats().hits)
            caches[100]:close()
            C.tandem_clock_shift(1100) -- it is not tried more often than once a second
            for _ = 1, 2 do
                assert(caches[257]:get("key") == "value")
            end
            print(caches[1]:stats().memory.near_hits, caches[1]:stats().hits)
        ]], cache, dir, {}))
        assert.are.equal("512\t1028\n513\t1030\n", out)
        cache:close()
    end)
end)
