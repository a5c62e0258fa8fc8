--- A real master, its replicas, and the sentinels that watch them, on loopback.

local redis = require "spec.support.redis"
local resp = require "spec.support.resp"
local run = require "spec.support.run"

local _M = {}
local Sentinel, Watched = {}, {}
Sentinel.__index = Sentinel
Watched.__index = Watched

-- How long a server is silent until a sentinel takes it for dead, longer than one on a busy
-- machine; and how long a failover may take.
local DOWN_MS, FAILOVER_MS = 2000, 4000

--- What they call the master.
_M.NAME = "mymaster"

-- -- One sentinel --------------------------------------------------------------------------------

-- 40 hexadecimal digits, as sentinels know each other by.
local function id_of(i)
    return ("%040x"):format(i)
end

-- They are told of each other and of the replicas, so as not to have to find out.
local function configuration(self, watched)
    local name = _M.NAME
    local lines = {
        "port " .. self.port, "bind 127.0.0.1", "dir " .. self.folder,
        "logfile " .. self.folder .. "/sentinel.log", "sentinel myid " .. id_of(self.number),
        ("sentinel monitor %s 127.0.0.1 %d 2"):format(name, watched.master.port),
        ("sentinel down-after-milliseconds %s %d"):format(name, DOWN_MS),
        ("sentinel failover-timeout %s %d"):format(name, FAILOVER_MS),
    }
    if watched.password then
        lines[#lines + 1] = ("sentinel auth-pass %s %s"):format(name, watched.password)
    end
    if watched.sentinel_password then
        lines[#lines + 1] = "requirepass " .. watched.sentinel_password
        lines[#lines + 1] = "sentinel sentinel-pass " .. watched.sentinel_password
    end
    for _, replica in ipairs(watched.replicas) do
        lines[#lines + 1] = ("sentinel known-replica %s 127.0.0.1 %d"):format(name, replica.port)
    end
    for i, port in ipairs(watched.ports) do
        if i ~= self.number then
            lines[#lines + 1] = ("sentinel known-sentinel %s 127.0.0.1 %d %s")
                :format(name, port, id_of(i))
        end
    end
    return table.concat(lines, "\n") .. "\n"
end

local function launch(self)
    self.process = run.start({ run.need(run.redis_server), self.file, "--sentinel" },
                             { output = self.folder .. "/output" })
    run.wait_until("a sentinel answers", function()
        local client = self.process:alive() and resp.connect({ port = self.port })
        if client then
            client:close()
        end
        return client
    end, 20)
    -- A machine that is busy makes them stop judging for half a minute.
    pcall(self.call, self, "SENTINEL", "DEBUG", "TILT-TRIGGER", "60000")
end

local function start(watched, number)
    local self = setmetatable({ number = number, port = watched.ports[number],
                                folder = run.temp_dir(),
                                password = watched.sentinel_password }, Sentinel)
    self.file = self.folder .. "/sentinel.conf"
    run.write_file(self.file, configuration(self, watched))
    launch(self)
    return self
end

Sentinel.call, Sentinel.connect = redis.Server.call, redis.Server.connect

--- How many connections with this client's name it has.
function Sentinel:watchers(name)
    local _, n = self:call("CLIENT", "LIST"):gsub(" name=" .. name .. " ", "")
    return n
end

function Sentinel:kill()
    self.process:kill()
    self.process:destroy()
end

--- Starts it again, with what it knew.
function Sentinel:restart()
    launch(self)
end

--- Where it says that the master is: a port.
function Sentinel:names()
    local address = self:call("SENTINEL", "GET-MASTER-ADDR-BY-NAME", _M.NAME)
    return tonumber(address[2])
end

-- -- All of them ---------------------------------------------------------------------------------

local function replica_of(master, password)
    local arguments = { "--replicaof", "127.0.0.1", master.port,
                        "--repl-diskless-sync", "no" }
    if password then
        arguments[#arguments + 1], arguments[#arguments + 2] = "--masterauth", password
    end
    local server = redis.start({ password = password, arguments = arguments })
    -- It says so up to a second before it is told of what changes.
    master:call("SET", "probe", "here")
    run.wait_until("a replica follows", function()
        return server:call("GET", "probe") == "here"
            and server:call("INFO", "replication"):find("master_link_status:up", 1, true)
    end, 20)
    master:call("SET", "probe", "there")
    run.wait_until("it is told of changes", function()
        return server:call("GET", "probe") == "there"
    end, 20)
    master:call("DEL", "probe")
    return server
end

--- Starts a master, a replica, and three sentinels.
-- options: password (of the servers), sentinel_password.
function _M.start(options)
    options = options or {}
    local self = setmetatable({ password = options.password, replicas = {}, ports = {},
                                sentinel_password = options.sentinel_password, sentinels = {} },
                              Watched)
    local arguments = { "--repl-diskless-sync", "no" }
    if self.password then
        arguments[3], arguments[4] = "--masterauth", self.password
    end
    self.master = redis.start({ password = self.password, arguments = arguments })
    self.replicas[1] = replica_of(self.master, self.password)
    for i = 1, 3 do
        self.ports[i] = redis.free_port()
    end
    for i = 1, 3 do
        self.sentinels[i] = start(self, i)
    end
    run.wait_until("the sentinels know each other", function()
        return self:each(function(sentinel)
            local ok, answer = pcall(sentinel.call, sentinel, "SENTINEL", "CKQUORUM", _M.NAME)
            return ok and tostring(answer):find("^OK 3 ")
        end)
    end, 20)
    return self
end

--- Is it so for every sentinel that lives?
function Watched:each(fn)
    for _, sentinel in ipairs(self.sentinels) do
        if sentinel.process:alive() and not fn(sentinel) then
            return false
        end
    end
    return true
end

--- The URL for the option `redis`.
-- options: user ("user:password@", ""), name, db.
function Watched:url(options)
    options = options or {}
    local hosts = {}
    for i, port in ipairs(self.ports) do
        hosts[i] = "127.0.0.1:" .. port
    end
    return ("redis+sentinel://%s%s/%s%s"):format(options.user or "", table.concat(hosts, ","),
        options.name or _M.NAME, options.db and "/" .. options.db or "")
end

--- Waits until all sentinels that answer name the replica; it is self.master then, and what was
-- that is self.old.
function Watched:await(silent)
    local new = self.replicas[1]
    run.wait_until("the sentinels name the new master", function()
        return self:each(function(sentinel)
            return sentinel == silent or sentinel:names() == new.port
        end)
    end, 30)
    self.old, self.master, self.replicas = self.master, new, {}
end

--- Has the sentinels make the replica the master, as an operator would, whether the master is there
-- or not.
function Watched:fail_over()
    local told
    for _, sentinel in ipairs(self.sentinels) do
        told = told or sentinel.process:alive() and sentinel
    end
    run.wait_until("a failover begins", function()
        return pcall(told.call, told, "SENTINEL", "FAILOVER", _M.NAME)
    end, 20)
    self:await()
end

--- Ends all of them.
function Watched:stop()
    for _, thing in ipairs({ self.old or self.master, self.master,
                             self.replicas[1] or self.master, unpack(self.sentinels) }) do
        thing.process:destroy()
    end
end

return _M
