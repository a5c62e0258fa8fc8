-- The arithmetic of jitter and early refreshes, with the time and chance of the spec's choice.

local random = require "resty.tandem.random"
local timing = require "resty.tandem.timing"

describe("jitter", function()
    it("only shortens, by at most its fraction", function()
        for _, draw in ipairs({ 0, 0.1, 0.5, 0.999999 }) do
            local ms = timing.jitter(1000, 0.2, draw)
            assert.is_true(ms > 800 - 1 and ms <= 1000, ms)
            assert.are.equal(math.floor(1000 - 200 * draw + 0.5), ms)
        end
        assert.are.equal(1000, timing.jitter(1000, 0, 0.9))
        assert.are.equal(1000, timing.jitter(1000, 1, 0))
    end)

    it("leaves more than nothing, and for ever as it is", function()
        assert.are.equal(1, timing.jitter(1000, 1, 0.9999999))
        assert.are.equal(1, timing.jitter(1, 1, 0.999))
        assert.are.equal(0, timing.jitter(0, 1, 0.5))
    end)
end)

describe("XFetch", function()
    it("comes earlier for what takes longer, and for a larger beta", function()
        assert.is_true(math.abs(timing.lead(100, 1, 1 - math.exp(-1)) - 100) < 1e-9)
        assert.is_true(math.abs(timing.lead(100, 2, 1 - math.exp(-1)) - 200) < 1e-9)
        assert.is_true(math.abs(timing.lead(300, 1, 1 - math.exp(-2)) - 600) < 1e-9)
        assert.are.equal(0, timing.lead(100, 1, 0))
        assert.are.equal(0, timing.lead(0, 1, 0.5))
        assert.are.equal(math.huge, timing.lead(100, 1, 1))
    end)

    -- A clock that ticks by the millisecond, with a caller a tick: when does the first of them draw
    -- a lead that reaches the end?
    local function first_refresh(ttl_ms, load_ms, beta, draw)
        for now = 0, ttl_ms - 1 do
            if timing.lead(load_ms, beta, draw()) >= ttl_ms - now then
                return ttl_ms - now
            end
        end
        return 0
    end

    it("is before the end for all but few, and not long before", function()
        local early, total, n = 0, 0, 300
        for _ = 1, n do
            local before = first_refresh(1000, 20, 1, random)
            early = early + (before > 0 and 1 or 0)
            total = total + before
        end
        -- The maximum of many exponential variables: about load_ms * log(callers in load_ms).
        assert.is_true(early == n, early)
        assert.is_true(total / n > 20 and total / n < 200, total / n)
    end)
end)

describe("the average of durations", function()
    it("begins with the first and follows", function()
        assert.are.equal(80, timing.average(nil, 80))
        assert.are.equal(80, timing.average(80, 80))
        local average = 0
        for _ = 1, 40 do
            average = timing.average(average, 100)
        end
        assert.is_true(average > 99.9 and average < 100)
    end)
end)

describe("chance", function()
    it("is even, and within 0 and 1", function()
        local buckets, n = {}, 100000
        for i = 1, 10 do
            buckets[i] = 0
        end
        for _ = 1, n do
            local x = random()
            assert(x >= 0 and x < 1)
            local i = math.floor(x * 10) + 1
            buckets[i] = buckets[i] + 1
        end
        for i = 1, 10 do
            assert.is_true(math.abs(buckets[i] - n / 10) < 600, buckets[i]) -- 6 standard deviations
        end
    end)

    it("leaves the application's alone", function()
        math.randomseed(7)
        local one = math.random()
        math.randomseed(7)
        random()
        assert.are.equal(one, math.random())
    end)
end)
