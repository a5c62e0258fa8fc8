--- A Redis Cluster over TLS: each node is one that TLS has been spoken with, and whom it has to be.
-- (That it is refused where hiredis is too old for it: tls_spec.lua.)

local caches = require "spec.support.caches"
local certificates = require "spec.support.certificates"
local clusters = require "spec.support.clusters"
local run = require "spec.support.run"
local show = require "spec.support.show"
local tandem = require "resty.tandem"

local hiredis = run.run { run.need("pkg-config"), "--modversion", "hiredis" }
if tonumber(hiredis:match("^%d+")) < 1 then
    return
end

describe("a Redis Cluster over TLS", function()
    local authority, client, cluster

    -- Its certificate is for one name, and for the address but not for the name of this host.
    setup(function()
        authority = certificates.authority()
        client = authority:issue("client", "DNS:client")
        local node = authority:issue("node", "DNS:redis.test,IP:127.0.0.1")
        cluster = clusters.start { replicas = 1, tls = { cert = node.cert, key = node.key,
                                                         ca = authority.cert, clients = "yes" } }
        tandem.set_logger(function() end)
    end)
    teardown(function()
        tandem.set_logger(nil)
        cluster:stop()
        run.cleanup()
    end)

    local function open(tls, options)
        options = options or {}
        tls = tls or {}
        tls.ca = tls.ca or authority.cert
        tls.cert, tls.key = tls.cert or client.cert, tls.key or client.key
        options.redis = { url = options.url or cluster:url(), client_name = "spec", tls = tls,
                          address_map = options.address_map }
        options.url, options.address_map = nil, nil
        options.timeout, options.connect_timeout = options.timeout or 5, 5
        return caches.on(nil, options)
    end

    -- Of which ports of the nodes a client of that name has connections.
    local function ports()
        local list = {}
        for _, node in ipairs(cluster.nodes) do
            local clients = node:call("CLIENT", "LIST")
            for port in clients:gmatch("laddr=127.0.0.1:(%d+)[^\n]* name=spec ") do
                list[#list + 1] = { tonumber(port) == node.tls_port, port }
            end
        end
        return list
    end

    it("is used, links and all, and never without TLS", function()
        local cache = open(nil, { max_stale = 2 })
        for i = 1, 100 do
            assert.are.equal("true", show(cache:set("key" .. i, "value")))
            assert.are.equal("value", cluster:call("GET", cache.name .. ":key" .. i))
        end
        run.wait_until("what others change is seen, wherever it is", function()
            for i = 1, 100 do
                cluster:call("SET", cache.name .. ":key" .. i, "theirs")
            end
            for i = 1, 100 do
                if cache:get("key" .. i) ~= "theirs" then
                    return false
                end
            end
            return cache:stats().tracking.state == "on"
        end)
        local connections = ports()
        assert.is_true(#connections >= 6) -- data and a link for each of three masters
        for _, connection in ipairs(connections) do
            assert.is_true(connection[1], "a connection to port " .. connection[2])
        end
        cache:close()
    end)

    it("is followed where slots are on the move, and where a replica has taken over", function()
        local cache = open(nil, { max_stale = 2, prefix = "{tls}:" })
        local slot = cluster:slot_of("{tls}")
        local from = cluster:master_of(slot)
        local to = cluster.nodes[from == cluster.nodes[1] and 2 or 1]
        assert.are.equal("true", show(cache:set("key", "value")))
        clusters.open(slot, from, to)
        cluster:migrate(slot, from, to)
        for i = 1, 10 do
            assert.are.equal(i, cache:incr("n", 1, 0)) -- by ASK
        end
        cluster:assign(slot, to)
        assert.are.equal(11, cache:incr("n", 1, 0)) -- by MOVED
        cluster:await()
        local master = cluster.nodes[1]
        cluster:fail_over(cluster:replica_of(master))
        run.wait_until("all of it is used", function()
            for i = 1, 30 do
                if not cache:set("key" .. i, "again") then
                    return false
                end
            end
            return show(cache:set("key", "again")) == "true"
        end, 20)
        assert.are.equal("again", cluster:call("GET", "{tls}:key"))
        cache:close()
    end)

    it("has each node's certificate be for the address by which it was called", function()
        local url = cluster:url():gsub("127%.0%.0%.1", "localhost")
        local _, err = open(nil, { url = url }):get("key")
        assert.is_truthy(tostring(err):find("certificate is not for localhost", 1, true),
                         tostring(err))
        -- The one that the URL names is good, those that it tells of are called by another address.
        local elsewhere = {}
        for _, node in ipairs(cluster.nodes) do
            elsewhere["127.0.0.1:" .. node.tls_port] = "localhost:" .. node.tls_port
        end
        local mapped = open(nil, { address_map = elsewhere })
        run.wait_until("no master is used", function()
            _, err = mapped:get("key")
            return tostring(err):find("not for localhost", 1, true)
        end)
        mapped:close()
        -- Unless there is one name for all of them.
        local cache = open({ server_name = "redis.test" }, { url = url, address_map = elsewhere })
        for i = 1, 20 do
            assert.are.equal("true", show(cache:set("key" .. i, "value")))
        end
        cache:close()
    end)

    it("is refused where it does not accept our certificate, or is of another authority", function()
        local stranger = certificates.authority()
        local other = stranger:issue("client", "DNS:client")
        for says, tls in pairs({
            ["our certificate (tls.cert)"] = { cert = other.cert, key = other.key },
            ["is from an issuer that is not in tls.ca"] = { ca = stranger.cert },
        }) do
            local cache = open(tls)
            local _, err = cache:get("key")
            assert.is_truthy(tostring(err):find(says, 1, true), tostring(err))
            cache:close()
        end
    end)

    it("is used by a child, by connections of its own", function()
        assert.are.equal("parent child\n", run.lua(([[
            local unistd, wait = require "posix.unistd", require "posix.sys.wait"
            local cache = assert(require("resty.tandem").new("forks", { memory = "1m",
                connect_timeout = 5, timeout = 5, redis = { url = "%s",
                tls = { ca = "%s", cert = "%s", key = "%s" } } }))
            for i = 1, 20 do
                assert(cache:set("key" .. i, "parent"))
            end
            local pid = unistd.fork()
            if pid == 0 then
                for i = 1, 20 do
                    assert(cache:set("child" .. i, "child"))
                end
                os.exit(0)
            end
            local _, how, status = wait.wait(pid)
            assert(how == "exited" and status == 0)
            for i = 1, 20 do
                assert(cache:set("again" .. i, "parent"))
            end
            print((cache:get("key1")), (cache:get("child1")))
        ]]):format(cluster:url(), authority.cert, client.cert, client.key)):gsub("\t", " "))
    end)
end)
