-- Tags in memory only: what goes and what stays, and arguments.

local caches = require "spec.support.caches"
local run = require "spec.support.run"

describe("tags", function()
    local cache, plain

    before_each(function()
        cache, plain = caches.open({ tags = true }), caches.open()
    end)
    after_each(run.cleanup)

    it("make what has them go, and nothing else", function()
        assert.is_true(cache:set("ab", "1", 10, { tags = { "a", "b" } }))
        assert.is_true(cache:set("b", "2", nil, { tags = { "b", "b" } }))
        assert.is_true(cache:set("none", "3", 10, { tags = {} }))
        assert.is_true(cache:set("plain", "4", 10, {}))
        assert.is_true(cache:invalidate_tag("a"))
        assert.is_nil((cache:get("ab")))
        assert.is_false(cache:exists("ab"))
        assert.is_nil(cache:ttl("ab"))
        assert.are.same({ b = "2", none = "3", plain = "4" },
                        (cache:get_multi({ "ab", "b", "none", "plain" })))
        assert.is_true(cache:invalidate_tag("b"))
        local keys = cache:keys()
        table.sort(keys)
        assert.are.same({ "none", "plain" }, keys)
        assert.is_true(cache:invalidate_tag("never seen"))
    end)

    it("go by the latest set", function()
        cache:set("key", "1", 10, { tags = { "a" } })
        cache:set("key", "2", 10, { tags = { "b" } })
        cache:invalidate_tag("a")
        assert.are.equal("2", (cache:get("key")))
        cache:set("key", "3")
        cache:invalidate_tag("b")
        assert.are.equal("3", (cache:get("key")))
        cache:set("key", "4", 10, { tags = { "a" } })
        assert.are.equal("4", (cache:get("key")))
    end)

    it("are heeded by near hits, at once", function()
        for round = 1, 3 do
            local value = "value" .. round
            cache:set("key", value, 10, { tags = { "a" } })
            cache:set("other", value, 10, { tags = { "b" } })
            local before
            for i = 1, 5 do
                before = i == 4 and cache:stats().memory.near_hits or before
                assert.are.equal(value, (cache:get("key")))
                assert.are.equal(value, (cache:get("other")))
            end
            assert.are.equal(before + 4, cache:stats().memory.near_hits)
            cache:invalidate_tag("a")
            assert.is_nil((cache:get("key")))
            assert.are.equal(value, (cache:get("other")))
        end
    end)

    it("stay with what is counted up, expires later, or is touched", function()
        cache:set("n", "1", 10, { tags = { "a" } })
        assert.are.equal(3, cache:incr("n", 2))
        assert.is_true(cache:expire("n", 100))
        assert.is_true(cache:touch("n", 50))
        assert.are.equal("3", (cache:get("n")))
        cache:invalidate_tag("a")
        assert.is_nil((cache:get("n")))
        assert.are.equal(1, cache:incr("n", 1, 0))
        assert.is_true(cache:add("added", "1"))
    end)

    it("are those of a fetch, and those that its loader returned", function()
        local loads = 0
        local function fetch()
            return (cache:fetch("key", { tags = { "given" } }, function()
                loads = loads + 1
                return "made " .. loads, nil, 10, { "returned", "given" }
            end))
        end
        for i, tag in ipairs({ "given", "returned", "given" }) do
            assert.are.equal("made " .. i, fetch())
            assert.are.equal("made " .. i, fetch())
            cache:invalidate_tag(tag)
        end
        -- Absence is tagged, too.
        local function absent() return nil, nil, nil, { "returned" } end
        assert.are.equal("loader", (select(3, cache:fetch("none", absent))))
        assert.are.equal("negative", (select(3, cache:fetch("none", absent))))
        cache:invalidate_tag("returned")
        assert.are.equal("loader", (select(3, cache:fetch("none", absent))))
    end)

    it("that are invalidated while a loader runs keep its value out", function()
        local value, err, tier = cache:fetch("key", function()
            cache:invalidate_tag("a")
            return "old", nil, 10, { "a" }
        end)
        assert.are.same({ "old", "loader" }, { value, tier }, err)
        assert.is_nil((cache:get("key")))
        assert.are.equal("new", (cache:fetch("key", function()
            cache:invalidate_tag("b")
            return "new", nil, 10, { "a" }
        end)))
        assert.are.equal("new", (cache:get("key")))
    end)

    it("of any bytes, up to so many of so long", function()
        local tags = {}
        for i = 1, 1000 do
            tags[i] = ("%d\0\r\n"):format(i) .. ("\255"):rep(200 - 3 - #tostring(i))
        end
        assert.is_true(cache:set("key", "value", 10, { tags = tags }))
        assert.are.equal("value", (cache:get("key")))
        cache:invalidate_tag(tags[1000])
        assert.is_nil((cache:get("key")))

        tags[1001] = tags[1] -- once more, which is none more
        assert.is_true(cache:set("key", "value", 10, { tags = tags }))
        tags[1001] = "one more"
        assert.has_error(function() cache:set("key", "value", 10, { tags = tags }) end,
                         "opts.tags must be at most 1000 tags, got 1001")
        local value, err = cache:fetch("other", { tags = { "x" } }, function()
            tags[1001] = nil
            return "value", nil, 10, tags
        end)
        assert.is_nil(value)
        assert.are.equal('the tags that the loader of key "other" returned must be at most 1000 '
                         .. "tags, got 1001", err)
    end)

    local WRONG = {
        { "a", "must be an array of strings, got \"a\"" },
        { { a = 1 }, 'must be an array of strings, got a table with the index "a"' },
        { { "a", nil, "b" }, nil }, -- an array or none, as LuaJIT sees fit
        { { 1 }, "[1] must be a string, got 1" },
        { { "a", "" }, "[2] must not be empty" },
        { { ("x"):rep(201) }, "[1] must be at most 200 bytes long, got 201 bytes" },
    }
    it("that are wrong are named", function()
        for _, row in ipairs(WRONG) do
            local ok, err = pcall(cache.set, cache, "key", "value", nil, { tags = row[1] })
            if row[2] then
                assert.is_false(ok)
                assert.is_truthy(err:find(row[2], 1, true), err)
                local label = row[2]:sub(1, 1) == "[" and "" or " "
                local value, problem = cache:fetch("key", function()
                    return "value", nil, nil, row[1]
                end)
                assert.is_nil(value)
                assert.are.equal('the tags that the loader of key "key" returned' .. label
                                 .. row[2], problem)
                assert.is_false((pcall(cache.fetch, cache, "key", { tags = row[1] },
                                       function() return "value" end)))
            end
        end
        assert.is_nil((cache:get("key")))
        for _, row in ipairs({
            { {}, "opts.tag", { tag = {} } }, { {}, "opts must be a table", 5 },
        }) do
            local ok, err = pcall(cache.set, cache, "key", "value", nil, row[3])
            assert.is_false(ok)
            assert.is_truthy(err:find(row[2], 1, true), err)
        end
        for given, message in pairs({ [""] = "tag must not be empty",
                                      [5] = "tag must be a string, got 5",
                                      [("x"):rep(201)] = "tag must be at most 200 bytes long" }) do
            local ok, err = pcall(cache.invalidate_tag, cache, given)
            assert.is_false(ok)
            assert.is_truthy(err:find(message, 1, true), err)
        end
    end)

    it("need an option of new, and say so", function()
        local message = ('tags need tags = true in the options of cache "%s"'):format(plain.name)
        local function raises(fn, ...)
            local ok, err = pcall(fn, plain, ...)
            assert.is_false(ok)
            assert.is_truthy(err:find(message, 1, true), err)
        end
        raises(plain.set, "key", "value", 10, { tags = { "a" } })
        raises(plain.set, "key", "value", 10, { tags = {} })
        raises(plain.fetch, "key", { tags = { "a" } }, function() return "value" end)
        raises(plain.invalidate_tag, "a")
        -- What a loader returns beyond the TTL is of no account there.
        assert.are.equal("value", (plain:fetch("key", function()
            return "value", nil, 10, { "a" }
        end)))
    end)
end)
