--- Counts the instructions of single operations, and holds them against bench/guard/baseline.txt.
--
--   luajit bench/guard/main.lua compare|update PROGRAM COMPILER
--
-- Counts do not depend on the machine or on what else it does, but on the compiler: those of
-- another one are not compared, which is a failure.  GUARD_BASELINE names another file, made by
-- "update" with that compiler from the sources before a change.
-- With TANDEM_RESULTS set, "guard PASSED FAILED" is appended to that file.

local here = assert(arg[0]:match("^(.*)/guard/main.lua$"))
package.path = here .. "/?.lua;" .. package.path

local baseline = require "guard.baseline"
local profile = require "guard.profile"
local files = require "lib.files"
local server = require "lib.server"

local BOUND = 0.05
local what, program, compiler = arg[1], arg[2], arg[3]
local path = os.getenv("GUARD_BASELINE") or here .. "/guard/baseline.txt"

local function output_of(command)
    local pipe = assert(io.popen(command))
    local text = pipe:read("*a")
    pipe:close()
    return text
end

-- No operation is to pay for the linker's work at a first call.
local VALGRIND = "LD_BIND_NOW=1 valgrind -q --tool=callgrind --separate-threads=yes "
    .. "--compress-strings=no --compress-pos=no --toggle-collect='op_*' %s "
    .. "--callgrind-out-file=%s/counts %s %s/redis.sock 2>&1"

-- Of the program's main thread: what the I/O thread does is not counted.
local function count(scratch)
    local dumps = {}
    for operation in output_of("nm " .. program):gmatch(" op_([%w_]+)") do
        dumps[#dumps + 1] = "--dump-after=op_" .. operation
    end
    local said = output_of(VALGRIND:format(table.concat(dumps, " "), scratch, program, scratch))
    local calls = assert(tonumber(said), "the operations have not been counted: " .. said)
    local counts = {}
    for file in output_of("ls " .. scratch):gmatch("counts%.%d+%-01") do
        local text = files.read(scratch .. "/" .. file)
        local operation = text:match("Trigger: %-%-dump%-after=op_([%w_]+)")
        if operation then
            counts[operation] = profile.read(text, program:match("[^/]+$"), calls)
        end
    end
    assert(next(counts), "callgrind has written nothing")
    return counts
end

local function measure()
    local scratch = os.getenv("GUARD_SCRATCH")
    local redis = server.start(scratch)
    local ok, counts = pcall(count, scratch)
    server.stop(redis)
    return assert(ok and counts, counts)
end

local function compare(counts)
    local made_with, before = baseline.read(assert(files.read(path),
        "guard: " .. path .. " is not there: make guard-update makes it"))
    if made_with ~= compiler then
        return { ("nothing is compared: the baseline is by %s, this is %s.  With the sources "
                  .. "before the change: GUARD_BASELINE=FILE make guard-update; then, with those "
                  .. "after it, the same with guard"):format(made_with, compiler) }, 0
    end
    local complaints = baseline.compare(before, counts, BOUND)
    local operations = 0
    for _ in pairs(counts) do
        operations = operations + 1
    end
    return complaints, math.max(0, operations - #complaints)
end

local counts = measure()
if what == "update" then
    files.write(path, baseline.write(compiler, counts))
    print("guard: written to " .. path)
    return
end

local complaints, passed = compare(counts)
for operation, n in pairs(counts) do
    print(("guard: %-14s %7.1f instructions, %5.2f calls"):format(operation, n.instructions,
                                                                  n.calls))
end
for _, complaint in ipairs(complaints) do
    print("guard: " .. complaint)
end
if os.getenv("TANDEM_RESULTS") then
    local file = assert(io.open(os.getenv("TANDEM_RESULTS"), "a"))
    file:write(("guard %d %d\n"):format(passed, #complaints))
    file:close()
end
print(("guard: %d passed, %d failed"):format(passed, #complaints))
os.exit(#complaints == 0 and 0 or 1)
