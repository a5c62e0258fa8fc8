-- What is known of how long loaders took.

local prefix_of = require "resty.tandem.prefix"
local slowest = require "resty.tandem.slowest"

describe("a key's prefix", function()
    it("ends with the first separator that is not its first byte", function()
        assert.equal("user:", prefix_of("user:1:name"))
        assert.equal("/api/", prefix_of("/api/list"))
        assert.equal("alone", prefix_of("alone"))
        assert.equal(":", prefix_of(":"))
    end)
end)

describe("the slowest loaders", function()
    it("are counted by prefix, the slowest first", function()
        local core = {}
        slowest.note(core, "user:1", 5)
        slowest.note(core, "user:2", 15)
        slowest.note(core, "page:1", 10)
        assert.same({ { prefix = "user:", count = 2, sum_ms = 20, most_ms = 15 },
                      { prefix = "page:", count = 1, sum_ms = 10, most_ms = 10 } },
                    slowest.list(core, 5))
        assert.equal(1, #slowest.list(core, 1))
        assert.same({}, slowest.list({}, 5))
    end)

    it("are bounded, and keep those that took longest", function()
        local core = {}
        for i = 1, 1000 do
            slowest.note(core, "key " .. (i * 7919 % 1000), i * 7919 % 1000)
        end
        local list = slowest.list(core, 1000)
        assert.equal(50, #list)
        assert.equal(999, list[1].most_ms)
        assert.equal(950, list[50].most_ms)
    end)
end)
