--- bench/report.md: what bench/results has, for reading.

local json = require "cjson"

local files = require "lib.files"

local _M = {}

local HEAD = [[
# What was measured

Made by `bench/run`, which anyone can run; the numbers are of one machine at one time, and mean
something beside each other only. [docs/performance.md](../docs/performance.md) says what to make of them.

]]

-- Those that have been run, in order.
local function results_of(output, names)
    local list = {}
    for _, name in ipairs(names) do
        local text = files.read(output .. "/results/" .. name .. ".json")
        local result = text and json.decode(text)
        if result and result.said then
            list[#list + 1] = result
        end
    end
    return list
end

-- Each machine once, with the suites that ran there.
local function machines(results, add)
    local titles, suites = {}, {}
    for _, result in ipairs(results) do
        local words = {}
        for _, row in ipairs(result.machine) do
            words[#words + 1] = row[1] .. " " .. row[2]
        end
        local title = table.concat(words, "; ")
        if not suites[title] then
            titles[#titles + 1], suites[title] = title, {}
        end
        table.insert(suites[title], ("%s (%s%s)"):format(result.suite, result.date,
                                                         result.quick and ", quick" or ""))
    end
    for _, title in ipairs(titles) do
        add("- %s: %s", title, table.concat(suites[title], ", "))
    end
end

local function targets(results, add)
    add("\n| target | measured | wanted | |\n|---|---|---|---|")
    for _, result in ipairs(results) do
        for _, t in ipairs(result.targets) do
            add("| %s | %.3g | %s %g | %s |", t.what, t.value,
                t.at_most and "at most" or "at least", t.bound, t.held and "held" or "**short**")
        end
    end
end

local function section(output, result, add)
    add("\n## %s\n\n```text\n%s\n```", result.suite, table.concat(result.said, "\n"))
    if files.read(output .. "/results/" .. result.suite .. ".svg") then
        add("\n![](results/%s.svg)", result.suite)
    end
end

--- Writes it.
-- @param output the folder it goes to, and results are in
-- @param names of all suites, in order
function _M.write(output, names)
    local results, lines = results_of(output, names), {}
    local function add(...)
        lines[#lines + 1] = string.format(...)
    end
    machines(results, add)
    targets(results, add)
    for _, result in ipairs(results) do
        section(output, result, add)
    end
    files.write(output .. "/report.md", HEAD .. table.concat(lines, "\n") .. "\n")
end

return _M
