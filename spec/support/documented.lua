--- Tests that documents name: whether there are such.

local run = require "spec.support.run"

local _M = {}

--- Is there this test: "c/test/room/noun_test.c: name", "spec/folder/noun_spec.lua: how it begins",
-- or a file on its own?
function _M.exists(name)
    local path, test = name:match("^(%S+%.%a+): (.+)$")
    local source = (path or name):find("/", 1, true)
                   and run.read_file(run.root .. "/" .. (path or name))
    if not source or not test then
        return source and true or false
    elseif path:find("%.c$") then
        return source:find("TEST(" .. test .. ")", 1, true) ~= nil
    end
    return source:find('it("' .. test, 1, true) ~= nil
end

--- Rows of a document's tables whose last cell names tests: an array of { row =, tests = { } }.
function _M.rows(text)
    local rows = {}
    for line in text:gmatch("[^\n]+") do
        local last = line:match("^| .*| ([^|]*) |$")
        if last and last ~= "test" and not line:find("^| *%-") then
            local row = { row = line, tests = {}, says = last }
            for name in last:gmatch("`([^`]+)`") do
                row.tests[#row.tests + 1] = name
            end
            rows[#rows + 1] = row
        end
    end
    return rows
end

return _M
