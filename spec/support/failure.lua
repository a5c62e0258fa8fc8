--- Puts a fault of spec.support.faults to the test, and says in docs/failure.md's words what it
-- says.

local busted = require "busted"
local ordeal = require "spec.support.ordeal"
local run = require "spec.support.run"
local show = require "spec.support.show"

local assert, describe, it = require("luassert"), busted.describe, busted.it
local setup, teardown = busted.setup, busted.teardown

local _M = {}

-- How long what happens "at once" may take here, where others keep the machine busy; and what may
-- be added to a time-out.
local AT_ONCE = 0.3
local NOISE = 1

-- What a write says that Redis has not got.
local NOTE = "^queued: "
local NOTE_BLOCKED = "^not in Redis: "

local ROWS = { "get", "set", "delete", "later", "memory", "return" }
_M.ROWS = ROWS

--- The full name of the test of one row.
function _M.test_name(fault, row)
    return "failure " .. fault.name .. ": " .. row
end

-- -- In words ------------------------------------------------------------------------------------

local UNKNOWN = "`nil, err`: unknown whether it took place; memory drops the key"

local SAID = {
    error = { "`nil, err`", "`nil, err`" },
    absent = { "`nil, nil, nil`", "`nil, nil, nil`" },
    done = { "`true`", "`true`" },
    ["not there"] = { "`false`", "`false`" },
    refused = { '`true, "queued: …"`; done in memory', "`nil, err`; memory is as it was" },
    unknown = { UNKNOWN, UNKNOWN },
}

local STALE = { 'hits for `max_stale`, then `"stale"` hits',
                "hits for `max_stale`, then `nil, err`" }

local MEMORY = {
    fresh = { "hits, as ever", "hits, as ever" },
    stale = STALE,
    gone = { "not served any more", "not served any more" },
}

local MEMORY_WHEN = { fresh = "at once", stale = "at once", gone = "within `max_stale`, or 2 s" }

local WHEN = { ["at once"] = "at once", timeout = "within `timeout`",
               connect_timeout = "within `connect_timeout`" }

local function later_says(fault)
    if fault.get == "absent" then
        return "the same", "the same"
    end
    return '`nil, err` for a get; `true, "queued: …"` for a write', "`nil, err`"
end

local function row(name, degrade, fail, when, test)
    return ("| %s | %s | %s | %s | `%s` |"):format(name, degrade, fail, when, test)
end

--- The table of a fault: an array of lines.
function _M.table_of(fault)
    local lines = { "| | `degrade` | `fail` | when | test |", "|---|---|---|---|---|" }
    for _, operation in ipairs({ "get", "set", "delete" }) do
        local said = SAID[fault[operation]]
        lines[#lines + 1] = row(operation, said[1], said[2], WHEN[fault.after],
                                _M.test_name(fault, operation))
    end
    local degrade, fail = later_says(fault)
    lines[#lines + 1] = row("calls after that", degrade, fail, WHEN[fault.later],
                            _M.test_name(fault, "later"))
    lines[#lines + 1] = row("what memory has", MEMORY[fault.memory][1], MEMORY[fault.memory][2],
                            MEMORY_WHEN[fault.memory], _M.test_name(fault, "memory"))
    local sent = fault.set == "refused" and "; what was queued is sent" or ""
    lines[#lines + 1] = row("on its return", "as ever" .. sent, "as ever", "within 2 s",
                            _M.test_name(fault, "return"))
    return lines
end

-- -- Under test ----------------------------------------------------------------------------------

local function in_time(what, seconds, when)
    local most = when == "at once" and AT_ONCE or ordeal.TIMEOUT + NOISE
    assert(seconds <= most, ("%s took %.3f s, which is not %s"):format(what, seconds, when))
end

local function is_error(fault, what, got)
    assert.is_nil(got.first, what)
    assert.is_nil(got.third, what)
    assert.is_string(got.second, what)
    assert.is_truthy(got.second:find(fault.says, 1, true), what .. ": " .. got.second)
    assert.is_truthy(got.second:find("redis ", 1, true), what .. ": " .. got.second)
end

local CHECKS = {
    error = is_error,
    absent = function(_, what, got)
        assert.are.equal("nil nil nil", show(got.first, got.second, got.third), what)
    end,
    done = function(_, what, got)
        assert.are.equal("true nil", show(got.first, got.second), what)
    end,
    ["not there"] = function(_, what, got)
        assert.are.equal("false nil", show(got.first, got.second), what)
    end,
    refused = function(fault, what, got, policy)
        if policy == "fail" then
            is_error(fault, what, got)
            return
        end
        assert.is_true(got.first, what .. ": " .. tostring(got.second))
        local said = tostring(got.second)
        assert.is_truthy(said:find(NOTE) or got.blocked and said:find(NOTE_BLOCKED),
                         what .. ": " .. said)
        assert.is_truthy(got.second:find(fault.says, 1, true), what .. ": " .. got.second)
    end,
    unknown = function(fault, what, got)
        is_error(fault, what, got)
        assert.is_truthy(got.second:find("unknown", 1, true), what .. ": " .. got.second)
    end,
}

-- How many keys more memory has after a set of one that it lacked, or a delete of one that it had.
local MORE = {
    set = { refused = { degrade = 1, fail = 0 }, unknown = { degrade = 0, fail = 0 } },
    delete = { refused = { degrade = -1, fail = 0 }, unknown = { degrade = -1, fail = -1 } },
}

local function check_first(fault, world, operation)
    local both = world.remote:call(("return ordeal.first(%q)"):format(operation))
    for _, policy in ipairs(ordeal.POLICIES) do
        local what, got = operation .. " under " .. policy, both[policy]
        local expected = fault[operation]
        -- A link that is silent has Redis looked at after two seconds.
        if expected == "unknown" and got.known and run.now() > world.began + 1.9 then
            expected = "refused"
        end
        local more = MORE[operation] and MORE[operation][expected]
        CHECKS[expected](fault, what, got, policy)
        if more then
            assert.are.equal(more[policy], got.more, what .. ": keys in memory")
        end
        in_time("the " .. what, got.seconds, fault.after)
    end
end

-- What later calls return: in time an attempt may have said anew why Redis is away.
local function later_of(fault)
    if fault.get == "absent" then
        return fault
    end
    return { get = "error", set = "refused", delete = "refused", says = "" }
end

local function check_later(fault, world)
    local later = later_of(fault)
    if later ~= fault then
        world.remote:eval("ordeal.await_down()")
    end
    local answers = world.remote:call(("return ordeal.later(%d)"):format(
        fault.later == "at once" and 30 or 1))
    for _, operation in ipairs(ordeal.OPERATIONS) do
        for _, policy in ipairs(ordeal.POLICIES) do
            local got, what = answers[operation .. "_" .. policy], operation .. " under " .. policy
            local expected = later[operation]
            if operation == "delete" and expected == "done" then
                expected = "not there" -- any more
            end
            CHECKS[expected](later, what, got, policy)
            in_time(what, got.seconds, fault.later)
        end
    end
    local another = world.remote:call("return ordeal.open_another()")
    assert.is_true(another.opened < NOISE)
    assert.is_true(another.seconds < 2 * ordeal.TIMEOUT + NOISE) -- it has to connect first
    CHECKS[fault.get]({ says = "" }, "the get of a new cache", another)
end

local ALLOWED = {
    fresh = { degrade = { ["memory value"] = true }, fail = { ["memory value"] = true } },
    stale = { degrade = { ["memory value"] = true, ["stale value"] = true },
              fail = { ["memory value"] = true, error = true } },
    gone = { degrade = { absent = true }, fail = { absent = true } },
}

local function check_memory(fault, world)
    local function look()
        local seen = world.remote:call("return ordeal.memory(100)")
        for policy, got in pairs(seen) do
            for tier in pairs(got.tiers) do
                assert.is_true(ALLOWED[fault.memory][policy][tier], policy .. ": " .. tier)
            end
            in_time("what memory has", got.slowest, "at once")
        end
        return seen
    end
    look()
    if fault.memory == "stale" then
        world.remote:eval("ordeal.await_stale()")
        local seen = look()
        assert.are.same({ ["stale value"] = true }, seen.degrade.tiers)
        assert.are.same({ error = true }, seen.fail.tiers)
    end
end

local function check_return(fault, world)
    world.finish()
    local back = world.remote:call("return ordeal.back(10)")
    assert.is_true(back.seconds <= 2 + NOISE, "it took " .. back.seconds .. " s")
    for which, heard in pairs(back.heard) do
        local kept = heard.kept
        assert.are.equal("true", heard.set, which)
        assert.are.equal("true", heard.delete, which)
        -- Memory drops what came before it was sure to be told of changes.
        assert.is_truthy(heard.get == "value nil memory" or heard.get == "value nil redis",
                         which .. ": " .. heard.get)
        assert.is_truthy(heard.theirs == "theirs nil redis" or heard.theirs == "theirs nil memory",
                         which .. ": " .. heard.theirs)
        -- A delete may have taken place, or not.
        assert.is_truthy(kept == "value nil redis" or kept == "value nil memory"
                         or which:find("delete", 1, true) and kept == "nil nil nil",
                         which .. ": " .. kept)
    end
    -- What memory alone has had is in Redis soon.
    if fault.set == "refused" then
        local key = ordeal.prefix("set", "degrade") .. "fresh"
        run.wait_until(key .. " is in Redis", function()
            return world.admin:call("GET", key) == "new"
        end, 3 + NOISE)
    end
    world.remote:stop()
end

--- The tests of a fault.
function _M.examine(fault)
    describe("failure " .. fault.name .. ":", function()
        local world

        setup(function()
            world = fault.begin()
            world.remote:eval("ordeal = require 'spec.support.ordeal'")
            world.remote:eval(("ordeal.begin(%q, %g)"):format(world.url, world.lasting or 0))
            world.began = run.now()
            world.begin()
        end)
        teardown(run.cleanup)

        for _, operation in ipairs(ordeal.OPERATIONS) do
            it(operation, function() check_first(fault, world, operation) end)
        end
        it("later", function() check_later(fault, world) end)
        it("memory", function() check_memory(fault, world) end)
        it("return", function() check_return(fault, world) end)
    end)
end

return _M
