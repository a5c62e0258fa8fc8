--- Memory: what an entry takes beside its key and value, by the size of the value; and what the
-- workers of an nginx have of their own, while they work for long.

local files = require "lib.files"
local host = require "lib.host"
local report = require "lib.report"
local shell = require "lib.shell"

local KEY = "key:%012d"
local SEGMENT = 64 * 1048576
local SIZES = { 10, 100, 1000, 10000, 100000 }
local STEPS = 10

-- Entries of one size, in as many bytes as there are.
local function overhead(tandem, size)
    local cache = assert(tandem.new("memory" .. size, { memory = SEGMENT, near = false }))
    local value = ("x"):rep(size)
    for i = 1, math.ceil(1.2 * SEGMENT / (size + 60)) do
        assert(cache:set(KEY:format(i), value))
    end
    local entries = cache:stats().entries
    cache:close()
    return SEGMENT / entries - size - #KEY:format(0), entries
end

-- Nine gets in ten of keys of which a few are asked for often, one set; values of 100 to 2000
-- bytes, of which the cache holds a part. In the end Lua collects: left to itself its heap is 2 to
-- 6 MB, of which 0.8 are in use, as chance has it, and this is about what is in use.
local SERVER = [[
    location = /work { content_by_lua_block {
        local random, values = math.random, values
        for _ = 1, tonumber(ngx.var.arg_n) do
            local i = math.floor(100000 ^ random())
            if random(10) == 1 then
                cache:set("key:" .. i, values[i % 20 + 1])
            else
                cache:get("key:" .. i)
            end
        end
        collectgarbage()
        ngx.print("done")
    } }
]]

local INIT = [[
    -- A near table that is soon full: one that is not goes on growing up to its bytes.
    cache = assert(require("resty.tandem").new("worked", {
        memory = "32m", near = { entries = 1000, bytes = "1m" },
    }))
    values = {}
    for i = 1, 20 do values[i] = ("x"):rep(100 * i) end
]]

-- KiB that the workers have of their own, and of what is shared, the largest of each.
local function resident(running)
    local own, shared = 0, 0
    for _, pid in ipairs(host.workers(running)) do
        local status = files.read("/proc/" .. pid .. "/status")
        own = math.max(own, tonumber(status:match("RssAnon:%s*(%d+)")))
        shared = math.max(shared, tonumber(status:match("RssShmem:%s*(%d+)")))
    end
    return own, shared
end

local function work(running, workers, operations, batch)
    local requests = operations / batch
    local said = shell.output("for i in $(seq %d); do echo 'http://host/work?n=%d'; done | "
        .. "xargs -P %d -n 1 curl -s --unix-socket %s/http.sock", requests, batch, workers,
        running.folder)
    assert(#said == #"done" * requests, said)
end

local function worked(context, workers, operations, batch)
    local running = host.start(context, "memory" .. workers,
                               { workers = workers, init = INIT, server = SERVER })
    local rows = {}
    for step = 1, STEPS do
        work(running, workers, operations / STEPS, batch)
        local own, shared = resident(running)
        rows[step] = { own_kib = own, shared_kib = shared }
    end
    host.stop(running)
    return rows
end

local function measure(context)
    local tandem = require "resty.tandem"
    local result = { overhead = {}, workers = {} }
    for _, size in ipairs(context.quick and { 100, 10000 } or SIZES) do
        local bytes, entries = overhead(tandem, size)
        result.overhead[tostring(size)] = bytes
        report.say("  values of %6d B: %7d entries in 64 MiB, %7.1f bytes of it each beside key "
                   .. "and value", size, entries, bytes)
    end
    local operations = context.quick and 1e6 or 1e8
    local batch = operations / 200 -- a request
    for _, workers in ipairs(context.quick and { 2 } or { 1, 2, 8 }) do
        local rows = worked(context, workers, operations, batch)
        result.workers[tostring(workers)] = rows
        local first, last = rows[STEPS / 5], rows[STEPS]
        report.say("  %d workers, %.0e operations: the largest has %d KiB of its own after a "
                   .. "fifth, %d in the end, and %d of the segment", workers, operations,
                   first.own_kib, last.own_kib, last.shared_kib)
        if not context.quick then -- a few operations are not enough for it to be full-grown
            report.target(("memory of %d workers, last against after a fifth"):format(workers),
                          last.own_kib / first.own_kib, 1.05, true)
        end
    end
    return result
end

return { needs = { "nginx", "curl" }, run = measure }
