-- docs/security.md and docs/reliability.md: every row of their tables names tests that there are,
-- or says why none is needed.

local documented = require "spec.support.documented"
local run = require "spec.support.run"

local LEAST = { security = 20, reliability = 45 } -- rows

for name, least in pairs(LEAST) do
    describe("docs/" .. name .. ".md", function()
        it("names in every row tests that there are, or a reason", function()
            local text = assert(run.read_file(run.root .. "/docs/" .. name .. ".md"))
            local rows = documented.rows(text:match("| test |\n.*"))
            assert.is_true(#rows >= least, #rows .. " rows")
            for _, row in ipairs(rows) do
                for _, test in ipairs(row.tests) do
                    assert.is_true(documented.exists(test), "there is no such test: " .. test)
                end
                assert.is_true(#row.tests > 0 or row.says:find("cannot happen", 1, true) ~= nil,
                               "names no test: " .. row.row)
            end
        end)
    end)
end

describe("a test that is named", function()
    it("and is not there is found out", function()
        assert.is_true(documented.exists("spec/unit/documents_spec.lua: and is not there"))
        assert.is_false(documented.exists("spec/unit/documents_spec.lua: was never " .. "written"))
        assert.is_false(documented.exists("c/test/memory/entry_test.c: nothing"))
        assert.is_false(documented.exists("spec/unit/nothing_spec.lua"))
    end)
end)
