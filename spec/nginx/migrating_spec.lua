-- What docs/migrating.md says, done: its code runs in nginx, with a real Redis, and prints what it
-- says there.

local nginx = require "spec.support.nginx"
local redis = require "spec.support.redis"
local run = require "spec.support.run"

local TEXT = run.read_file(run.root .. "/docs/migrating.md")

-- Libraries that are here, so that also what was before can be run.
local RUN_BEFORE = { ["ngx.shared.DICT"] = true, ["lua-resty-lrucache"] = true }

local RUN = [==[
    return table.concat(require("spec.support.printed")([=[%s]=], "migrating.md"), "\n")
]==]

describe("docs/migrating.md", function()
    local web, server

    setup(function()
        server = redis.start()
        web = nginx.start({ http = "lua_shared_dict pages 1m;" })
    end)
    teardown(run.cleanup)

    local sections = {}
    for part in (TEXT:gsub("\n## ", "\0") .. "\0"):gmatch("([^%z]*)%z") do
        local title, body = part:match("^([^\n]+)\n(.*)$")
        sections[#sections + 1] = { title = title, body = body }
    end
    table.remove(sections, 1) -- what all of them have in common

    local function blocks(body)
        local list = {}
        for block in body:gmatch("\n```lua\n(.-)\n```") do
            list[#list + 1] = block
        end
        return list
    end

    local function check(block)
        local expected = {}
        for text in block:gmatch("%-%-> ([^\n]*)") do
            expected[#expected + 1] = text
        end
        local code = block:gsub("redis://127%.0%.0%.1:6379", server:url())
        assert.is_true(#expected > 0)
        local said = web:eval(RUN:format(code))
        assert.are.equal("'" .. table.concat(expected, "\\x0a") .. "'", said)
    end

    it("has a before and an after for each of four", function()
        assert.are.equal(4, #sections)
        for _, section in ipairs(sections) do
            local list = blocks(section.body)
            assert.are.equal(2, #list, section.title)
            for _, block in ipairs(list) do
                assert(loadstring(block, section.title))
            end
        end
    end)

    for _, section in ipairs(sections) do
        if RUN_BEFORE[section.title] then
            it("tells what " .. section.title .. " did", function()
                check(blocks(section.body)[1])
            end)
        end
        it("tells what is done instead of " .. section.title, function()
            check(blocks(section.body)[2])
        end)
    end
end)
