-- Workers on a Redis Cluster: reloads and kills, while slots move and another program writes.

local clusters = require "spec.support.clusters"
local nginx = require "spec.support.nginx"
local run = require "spec.support.run"

describe("an nginx on a Redis Cluster", function()
    local cluster, web

    setup(function() cluster = clusters.start() end)
    teardown(function()
        web:stop()
        cluster:stop()
        run.cleanup()
    end)

    local function await_links()
        run.wait_until("two workers have links to all masters", function()
            web:eval("return cache:get('absent')")
            return web:eval("return cache:stats().tracking.covering") == "2"
        end, 20)
    end

    -- Another program writes, at each master: until it is seen, what was there before may be.
    local function foreign_writes(round)
        for i = 1, 10 do
            local value = ("%s %d"):format(round, i)
            cluster:call("SET", "p:key" .. i, value)
            run.wait_until("it is seen", function()
                return web:eval(("return cache:get('key%d')"):format(i))
                    :find("'" .. value .. "'", 1, true)
            end)
        end
    end

    it("goes on over reloads, kills and moves", function()
        web = nginx.start { workers = 2, init = ([[
            cache = assert(require("resty.tandem").new("web", { memory = "4m", redis = %q,
                prefix = "p:", timeout = 5, connect_timeout = 5 }))]]):format(cluster:url()) }
        await_links()
        foreign_writes("first")
        web:reload()
        await_links()
        foreign_writes("reloaded")
        web:kill_worker(web:workers()[1])
        await_links()
        foreign_writes("killed")

        local slot = cluster:slot_of("p:key1")
        local from = cluster:master_of(slot)
        local to = from == cluster.nodes[1] and cluster.nodes[2] or cluster.nodes[1]
        cluster:move(slot, from, to)
        foreign_writes("moved")
        assert.are.equal("10", web:eval([==[
            local keys, values = {}, {}
            for i = 1, 10 do
                keys[i] = "key" .. i
                values[keys[i]] = "ours"
            end
            assert(cache:set_multi(values))
            local n = 0
            for _, value in pairs(assert(cache:get_multi(keys))) do
                n = n + (value == "ours" and 1 or 0)
            end
            return n
        ]==]))
        assert.are.same({}, web:problems { "exited on signal 9" })
    end)
end)
