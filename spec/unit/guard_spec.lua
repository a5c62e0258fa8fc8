-- The guard of instruction counts: what it reads of callgrind's output, and that it complains.

package.path = "bench/?.lua;" .. package.path

local baseline = require "guard.baseline"
local profile = require "guard.profile"

local DUMP = [[
desc: Trigger: --dump-after=op_get_hit

positions: line
events: Ir

ob=/usr/lib/libc.so.6
fn=__memcpy_avx_unaligned_erms
10 5000

ob=/build/bench/operations
fl=find.c
fn=index_read
30 800
+2 100
cfi=record.c
cfn=record_read
calls=100 50
31 2000
cob=/usr/lib/libc.so.6
cfi=memcpy.S
cfn=__memcpy_avx_unaligned_erms
calls=200 60
32 5000
33 100

fn=record_read
50 1900
fi=other.h
* 100
totals: 8000
]]

describe("the guard", function()
    it("counts instructions of our own functions, and calls of others'", function()
        local found = profile.read(DUMP, "bench/operations", 100)
        assert.same({
            instructions = 30, calls = 2, functions = { index_read = 10, record_read = 20 },
            called = { memcpy = 2 },
        }, found)
    end)

    it("keeps counts in a file", function()
        local compiler, counts = baseline.read(baseline.write("cc 12", {
            get_hit = profile.read(DUMP, "bench/operations", 100),
        }))
        assert.equal("cc 12", compiler)
        assert.same({ get_hit = {
            instructions = 30, calls = 2, functions = { index_read = 10, record_read = 20 },
        } }, counts)
    end)

    local function count(instructions, calls, functions)
        return { instructions = instructions, calls = calls, functions = functions or {} }
    end

    it("complains about what is dearer, and names the functions that grew", function()
        local before = { get = count(100, 2, { look = 60, copy = 40 }) }
        assert.same({}, baseline.compare(before, { get = count(104, 2) }, 0.05))
        assert.same({}, baseline.compare(before, { get = count(50, 1) }, 0.05))
        assert.same(
            { "get: 120.0 instructions instead of 100.0 (+20.0 %): new 15.0, copy 45.0, was 40.0" },
            baseline.compare(before, {
                get = count(120, 2, { look = 60, copy = 45, new = 15 }),
            }, 0.05))
        assert.same({ "get: 3.0 calls instead of 2.0 (+50.0 %): of libc and hiredis" },
                    baseline.compare(before, { get = count(100, 3) }, 0.05))
    end)

    it("complains about operations that are on one side only", function()
        assert.same({ "set is not in the baseline", "get is in the baseline, and was not counted" },
                    baseline.compare({ get = count(1, 1) }, { set = count(1, 1) }, 0.05))
    end)

    it("counts each operation of its baseline at more than nothing", function()
        local file = assert(io.open("bench/guard/baseline.txt"))
        local compiler, counts = baseline.read(file:read("*a"))
        file:close()
        assert.truthy(compiler)
        for operation, found in pairs(counts) do
            local dearer = {}
            dearer[operation] = count(found.instructions * 1.06, found.calls)
            local before = {}
            before[operation] = found
            assert.equal(1, #baseline.compare(before, dearer, 0.05), operation)
            assert.truthy(next(found.functions), operation)
        end
    end)
end)
