-- fetch_multi in two workers: flights that others have, and what runs in the background.

local fetching = require "spec.support.fetching"
local http = require "spec.support.http"
local run = require "spec.support.run"

describe("fetch_multi, in two workers,", function()
    local site, one, two

    setup(function()
        site = fetching.start("lock_timeout = 60, hard_timeout = 60, ttl = 600, stale_ttl = 600", {
            init = [[
                -- Counts as name, and makes name:KEY of each key when it may.
                function each(name)
                    return function(keys)
                        held(name)
                        local values = {}
                        for _, key in ipairs(keys) do
                            count("made " .. key)
                            values[key] = name .. ":" .. key
                        end
                        return values
                    end
                end

                function shown(values, err)
                    local words = {}
                    for key, value in pairs(values) do
                        words[#words + 1] = key .. "=" .. value
                    end
                    table.sort(words)
                    return table.concat(words, " "), err
                end
            ]],
        })
    end)
    teardown(function()
        site.web:quit()
        assert.are.same({}, site.web:problems())
        run.cleanup()
    end)
    before_each(function()
        site:stop()
        site:eval("cache:clear()")
        local workers = site.web:workers()
        one, two = workers[1], workers[2]
    end)

    local function fetch(name, keys)
        return ("return shown(cache:fetch_multi({ %s }, each(%q)))"):format(keys, name)
    end

    it("joins what others make already, and makes the rest", function()
        local first = site:send_to(one, 1, fetch("first", "'a', 'b', 'c'"))
        site:await("first", 1)
        local single = site:send_to(two, 1, "return cache:fetch('d', held, 'single', 'single:d')")
        site:await("single", 1)
        local second = site:send_to(two, 5, fetch("second", "'b', 'c', 'd', 'e'"))
        site:await("second", 1)
        site:go()
        assert.are.same({ ["'a=first:a b=first:b c=first:c' nil"] = 1 }, site:answers(first))
        assert.are.same({ ["'single:d' nil 'loader'"] = 1 }, site:answers(single))
        assert.are.same({ ["'b=first:b c=first:c d=single:d e=second:e' nil"] = 5 },
                        site:answers(second))
        for _, key in ipairs({ "a", "b", "c", "e" }) do
            assert.are.equal(1, site:count("made " .. key), key)
        end
        assert.are.equal(1, site:count("second"))
    end)

    it("goes on when two calls have each other's keys", function()
        local requests = {}
        for _, request in ipairs(site:send_to(one, 3, fetch("left", "'v', 'w', 'x'"))) do
            requests[#requests + 1] = request
        end
        for _, request in ipairs(site:send_to(two, 3, fetch("right", "'y', 'x', 'w'"))) do
            requests[#requests + 1] = request
        end
        site:go()
        http.finish(requests, 30)
        for _, request in ipairs(requests) do
            assert.are.equal(200, request.status, request.err)
            assert.is_truthy(request.body:find("w=left:w x=left:x", 1, true), request.body)
        end
    end)

    it("runs a loader of somebody else's keys when that one's client goes away", function()
        local first = site:send_to(one, 1, fetch("going", "'a', 'b'"))
        site:await("going", 1)
        local second = site:send_to(two, 1, fetch("staying", "'a', 'b'"))
        first[1]:abort()
        site:await("staying", 1)
        site:go()
        assert.are.same({ ["'a=staying:a b=staying:b' nil"] = 1 }, site:answers(second))
    end)

    it("answers what is past its TTL, and makes it anew in the background, once", function()
        site:eval("for i = 1, 20 do cache:set('s' .. i, 'old', 0.001) end")
        run.nap(20)
        local keys = {}
        for i = 1, 20 do
            keys[i] = ("'s%d'"):format(i)
        end
        local code = ([[
            local values, err = cache:fetch_multi({ %s }, each("anew"))
            local old = 0
            for _, value in pairs(values) do
                old = old + (value == "old" and 1 or 0)
            end
            return old, err]]):format(table.concat(keys, ","))
        for _ = 1, 5 do
            assert.are.equal("20 nil", site:eval(code))
        end
        site:await("anew", 1)
        site:go()
        run.wait_until("they are new", function() return site:eval(code) == "0 nil" end)
        assert.are.equal(1, site:count("anew"))
        assert.are.equal("'anew:s7' nil 'memory'", site:eval("return cache:get('s7')"))
    end)

    it("takes no longer than hard_timeout, and leaves nothing under way", function()
        local answer = site:eval([[
            local values, err = cache:fetch_multi({ "t1", "t2" }, { hard_timeout = 0.1 },
                                                  each("forever"))
            return next(values), err]])
        assert.are.equal("nil '2 of 2 keys could not be had: the loader of 2 keys took longer than "
                         .. "hard_timeout, 0.1 s'", answer)
        site:go()
        assert.are.equal("'t1=next:t1 t2=next:t2' nil", site:eval(fetch("next", "'t1', 't2'")))
    end)

    it("answers from memory where code cannot wait, and says what it lacks", function()
        site:eval("cache:set('there', 'value')")
        local answer = site:eval([[
            local answer, err
            table.sort({ 1, 2 }, function(a, b)
                answer, err = shown(cache:fetch_multi({ "there", "not" }, each("never")))
                return a < b
            end)
            return answer, err]])
        assert.is_truthy(answer:find("^'there=value' '1 of 2 keys could not be had: the loader "
                                     .. "cannot be run where the code cannot yield"), answer)
    end)
end)
