-- docs/failure.md says what is tested: its tables are those of the faults, and every test that it
-- names is there.

local documented = require "spec.support.documented"
local failure = require "spec.support.failure"
local faults = require "spec.support.faults"
local run = require "spec.support.run"

describe("docs/failure.md", function()
    local doc

    setup(function() doc = assert(run.read_file(run.root .. "/docs/failure.md")) end)
    teardown(run.cleanup)

    it("has the table of every fault, as it is tested", function()
        for _, fault in ipairs(faults) do
            local expected = "\n## " .. fault.title .. "\n\n"
                .. table.concat(failure.table_of(fault), "\n") .. "\n"
            assert.is_truthy(doc:find(expected, 1, true), "docs/failure.md lacks:\n" .. expected)
        end
    end)

    -- All tests of some folders, by their full names.
    local function tests_in(...)
        local busted = { run.need("busted"), "--lua=" .. run.luajit, "--list", ... }
        local output, status = run.run(busted, { cwd = run.root })
        assert.are.equal(0, status, output)
        local names = {}
        for name in output:gmatch("%.lua:%d+: ([^\n]+)") do
            names[name] = true
        end
        return names
    end

    it("names a test in every row, and only tests that there are", function()
        local names, rows = tests_in("spec/redis", "spec/nginx"), 0
        for line in doc:gmatch("[^\n]+") do
            local last = line:match("^| [^-].*| ([^|]*) |$")
            if last and last ~= "test" then
                local named = 0
                for name in last:gmatch("`([^`]+)`") do
                    assert.is_true(names[name] or documented.exists(name),
                                   "there is no such test: " .. name)
                    named = named + 1
                end
                assert.is_true(named > 0, "names no test: " .. line)
                rows = rows + 1
            end
        end
        assert.is_true(rows >= 6 * #faults)
    end)
end)
