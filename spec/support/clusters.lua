--- Real clusters on loopback: masters with their replicas.

local redis = require "spec.support.redis"
local run = require "spec.support.run"

local _M = {}
local Cluster = {}
Cluster.__index = Cluster

_M.SLOTS = 16384

-- How long a node is silent until the others take it for dead; and what they give up a failover
-- after that has been asked for.
local NODE_MS, FAILOVER_SECONDS = 1500, 6

local function start_node(self)
    local arguments = { "--cluster-enabled", "yes", "--cluster-port", redis.free_port(),
                        "--cluster-node-timeout", NODE_MS, "--repl-diskless-sync-delay", "0",
                        "--cluster-allow-replica-migration", "no" }
    for _, argument in ipairs(self.arguments) do
        arguments[#arguments + 1] = argument
    end
    local function add(name, value)
        arguments[#arguments + 1], arguments[#arguments + 2] = name, value
    end
    if self.password then
        add("--masterauth", self.password)
    end
    if self.tls then
        add("--tls-cluster", "yes")
        add("--tls-replication", "yes")
    end
    local node = redis.start({ password = self.password, arguments = arguments, tls = self.tls })
    node.bus = arguments[4]
    node.id = node:call("CLUSTER", "MYID")
    return node
end

local function each(list, fn)
    for _, node in ipairs(list) do
        if node.process:alive() and not fn(node) then
            return false
        end
    end
    return true
end

-- Those that are alive.
local function each_node(self, fn)
    return each(self.nodes, fn)
end

local function info(node, name)
    return node:call("CLUSTER", "INFO"):match("\n?" .. name .. ":(%w+)")
end

local function meet(self, node)
    self.nodes[1]:call("CLUSTER", "MEET", "127.0.0.1", node.port, node.bus)
end

local function await_known(self)
    run.wait_until("the nodes know each other", function()
        return each_node(self, function(node)
            return info(node, "cluster_known_nodes") == tostring(#self.nodes)
        end)
    end, 30)
end

-- Makes a node another's replica, and waits until it is.
local function replicate(node, master)
    run.wait_until("a node is made a replica", function()
        return pcall(node.call, node, "CLUSTER", "REPLICATE", master.id)
    end, 20)
    run.wait_until("it follows", function()
        return node:call("INFO", "replication"):find("master_link_status:up", 1, true)
    end, 20)
end

--- Starts one, and waits until it is well.
-- options: masters (3), replicas (how many have one: none), password, arguments, epoch (what it
-- begins after: 0), tls (as of redis.start: its nodes speak it among themselves, too).
function _M.start(options)
    options = options or {}
    local n = options.masters or 3
    local self = setmetatable({ nodes = {}, password = options.password, tls = options.tls,
                                arguments = options.arguments or {} }, Cluster)
    for i = 1, n + (options.replicas or 0) do
        self.nodes[i] = start_node(self)
        self.nodes[i]:call("CLUSTER", "SET-CONFIG-EPOCH", (options.epoch or 0) + i)
    end
    for i = 2, #self.nodes do
        meet(self, self.nodes[i])
    end
    for i = 1, n do
        self.nodes[i]:call("CLUSTER", "ADDSLOTSRANGE", math.floor((i - 1) * _M.SLOTS / n),
                           math.floor(i * _M.SLOTS / n) - 1)
    end
    await_known(self)
    for i = n + 1, #self.nodes do
        replicate(self.nodes[i], self.nodes[i - n])
    end
    self:await()
    return self
end

--- Has what has been done to nodes undone, and waits until it is well.
function Cluster:mend()
    for _, node in ipairs(self.nodes) do
        node:mend()
    end
    self:await()
end

--- Waits until all nodes that are alive say that the cluster is well, and who has which slot.
function Cluster:await()
    run.wait_until("the cluster is well", function()
        local seen
        return each_node(self, function(node)
            local slots = {}
            for _, range in ipairs(node:call("CLUSTER", "SLOTS")) do
                slots[#slots + 1] = ("%d-%d %d"):format(range[1], range[2], range[3][2])
            end
            table.sort(slots)
            slots = table.concat(slots, ",")
            seen = seen or slots
            return slots == seen and info(node, "cluster_state") == "ok"
        end)
    end, 30)
end

--- Waits until each node tells of its slots as it is to: fits is given each range of CLUSTER SLOTS.
function Cluster:await_ranges(fits)
    run.wait_until("all nodes tell of it", function()
        return each_node(self, function(node)
            for _, range in ipairs(node:call("CLUSTER", "SLOTS")) do
                if not fits(range) then
                    return false
                end
            end
            return true
        end)
    end)
end

--- The URL for the option `redis`.
-- options: user ("user:password@"), first: only the first so many nodes.
function Cluster:url(options)
    options = options or {}
    local hosts = {}
    for i = 1, options.first or #self.nodes do
        hosts[i] = "127.0.0.1:" .. (self.nodes[i].tls_port or self.nodes[i].port)
    end
    return ("redis%s+cluster://%s%s"):format(self.tls and "s" or "", options.user or "",
                                             table.concat(hosts, ","))
end

function Cluster:slot_of(key)
    return self:alive():call("CLUSTER", "KEYSLOT", key)
end

--- Any node that is alive.
function Cluster:alive()
    for _, node in ipairs(self.nodes) do
        if node.process:alive() then
            return node
        end
    end
end

--- The master that has a key's slot, or that slot.
function Cluster:master_of(key)
    local slot = type(key) == "number" and key or self:slot_of(key)
    for _, range in ipairs(self:alive():call("CLUSTER", "SLOTS")) do
        if slot >= range[1] and slot <= range[2] then
            return self:at(range[3][2])
        end
    end
end

--- The node at a port, whichever of its two.
function Cluster:at(port)
    for _, node in ipairs(self.nodes) do
        if node.port == port or node.tls_port == port then
            return node
        end
    end
end

--- The replica of a master.
function Cluster:replica_of(master)
    for _, node in ipairs(self.nodes) do
        if node ~= master and node.process:alive() then
            local role = node:call("ROLE")
            if role[1] == "slave" and role[3] == (master.tls_port or master.port) then
                return node
            end
        end
    end
end

--- All masters that have slots.
function Cluster:masters()
    local list, seen = {}, {}
    for _, range in ipairs(self:alive():call("CLUSTER", "SLOTS")) do
        local port = range[3][2]
        if not seen[port] then
            seen[port] = true
            list[#list + 1] = self:at(port)
        end
    end
    return list
end

--- Carries out a command where its key is.
function Cluster:call(command, key, ...)
    return self:master_of(key):call(command, key, ...)
end

--- Begins to move a slot: keys that the one does not have are asked of the other.
function _M.open(slot, from, to)
    to:call("CLUSTER", "SETSLOT", slot, "IMPORTING", from.id)
    from:call("CLUSTER", "SETSLOT", slot, "MIGRATING", to.id)
end

--- Moves the keys of a slot.
function Cluster:migrate(slot, from, to)
    while true do
        local keys = from:call("CLUSTER", "GETKEYSINSLOT", slot, 100)
        if #keys == 0 then
            return
        end
        local words = { "MIGRATE", "127.0.0.1", to.tls_port or to.port, "", 0, 5000 }
        if self.password then
            words[#words + 1], words[#words + 2] = "AUTH", self.password
        end
        words[#words + 1] = "KEYS"
        for _, key in ipairs(keys) do
            words[#words + 1] = key
        end
        assert(from:call(unpack(words)) == "OK")
    end
end

--- Gives a slot to a node, and tells all.
function Cluster:assign(slot, to)
    to:call("CLUSTER", "SETSLOT", slot, "NODE", to.id)
    for _, node in ipairs(self:masters()) do
        if node ~= to then
            node:call("CLUSTER", "SETSLOT", slot, "NODE", to.id)
        end
    end
end

--- Moves a slot with its keys.
function Cluster:move(slot, from, to)
    _M.open(slot, from, to)
    self:migrate(slot, from, to)
    self:assign(slot, to)
end

--- Adds a node without slots.
function Cluster:add()
    local node = start_node(self)
    self.nodes[#self.nodes + 1] = node
    meet(self, node)
    await_known(self)
    self:await()
    return node
end

--- From now on a node may be silent for so long until the others take it for dead.
function Cluster:set_node_timeout(ms)
    each_node(self, function(node)
        return node:call("CONFIG", "SET", "cluster-node-timeout", ms)
    end)
end

--- Waits until each replica has all that its master has.
function Cluster:await_replicas()
    run.wait_until("the replicas have everything", function()
        return each_node(self, function(node)
            local state = node:call("INFO", "replication")
            local ours = state:match("master_repl_offset:(%d+)")
            for offset in state:gmatch("slave%d+:[^\n]*,offset=(%d+)") do
                if offset ~= ours then
                    return false
                end
            end
            return true
        end)
    end, 20)
end

--- A replica does not hear from its master any more, and answers as before; and hears again.
function _M.fall_behind(replica)
    replica:call("CONFIG", "SET", "masteruser", "nobody")
    replica:call("CONFIG", "SET", "masterauth", "wrong")
    replica:call("CLIENT", "KILL", "TYPE", "master")
end

function Cluster:catch_up(replica)
    replica:call("CONFIG", "SET", "masteruser", "")
    replica:call("CONFIG", "SET", "masterauth", self.password or "")
    run.wait_until("it follows", function()
        return replica:call("INFO", "replication"):find("master_link_status:up", 1, true)
    end, 20)
end

--- Has a replica take over from its master, with that one's consent.
function Cluster:fail_over(replica)
    local master, again = self:at(replica:call("ROLE")[3]), 0
    run.wait_until("its master knows it", function()
        local replicas = table.concat(master:call("CLUSTER", "REPLICAS", master.id), "\n")
        return replicas:find(replica.id, 1, true)
    end, 20)
    run.wait_until("the replica is the master", function()
        if run.now() >= again and pcall(replica.call, replica, "CLUSTER", "FAILOVER") then
            again = run.now() + FAILOVER_SECONDS
        end
        return replica:call("ROLE")[1] == "master"
    end, 30)
    self:await()
end

--- Ends all of them.
function Cluster:stop()
    for _, node in ipairs(self.nodes) do
        node.process:destroy()
    end
end

return _M
