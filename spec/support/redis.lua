--- Real redis-servers, each on a free port of 127.0.0.1 and a unix socket of its own.

local resp = require "spec.support.resp"
local run = require "spec.support.run"
local secrets = require "spec.support.secrets"
local socket = require "posix.sys.socket"
local unistd = require "posix.unistd"

local _M = {}
local Server, Monitor = {}, {}
Server.__index = Server
Monitor.__index = Monitor

--- What can be done to a server, for those that are started elsewhere.
_M.Server = Server

local function free_port()
    local fd = assert(socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0))
    assert(socket.bind(fd, { family = socket.AF_INET, addr = "127.0.0.1", port = 0 }))
    local port = assert(socket.getsockname(fd)).port
    unistd.close(fd)
    return port
end

--- A port on which nobody listens (as far as one can know).
_M.free_port = free_port

local function launch(self)
    local program = {
        run.need(run.redis_server), "--port", self.port, "--bind", "127.0.0.1",
        "--unixsocket", self.path, "--unixsocketperm", "777", "--save", "", "--appendonly", "no",
        "--daemonize", "no", "--dir", self.folder, "--logfile", self.folder .. "/redis.log",
    }
    if self.tls then
        for name, value in pairs({ port = self.tls_port, ["cert-file"] = self.tls.cert,
                                   ["key-file"] = self.tls.key, ["ca-cert-file"] = self.tls.ca,
                                   ["auth-clients"] = self.tls.clients or "no" }) do
            program[#program + 1], program[#program + 2] = "--tls-" .. name, value
        end
    end
    for _, argument in ipairs(self.arguments) do
        program[#program + 1] = argument
    end
    self.process = run.start(program, { output = self.folder .. "/output" })
end

-- True when it answers; false when it has ended, for its port was taken meanwhile.
local function answers(self)
    return run.wait_until("redis-server answers", function()
        if not self.process:alive() then
            return "ended"
        end
        local client = resp.connect({ port = self.port })
        if not client then
            return nil
        end
        local ok, reply, there = pcall(function()
            client:write(resp.command("PING"))
            return client:read(5)
        end)
        client:close()
        -- Without a password it says so: that is an answer too.
        local loading = type(reply) == "table" and reply.err:find("^LOADING")
        return ok and there == true and not loading and "yes"
    end, 20) == "yes"
end

--- Starts one.  options: password (requirepass), arguments (further ones of redis-server), tls: it
-- also listens for TLS, { cert=, key=, ca=, clients="yes" if they are to have certificates }.
function _M.start(options)
    options = options or {}
    secrets.check(options.password)
    for _, argument in ipairs(options.arguments or {}) do
        secrets.check(tostring(argument):match("^>(.*)"))
    end
    local self = setmetatable({ folder = run.temp_dir(), password = options.password,
                                tls = options.tls }, Server)
    self.path = self.folder .. "/redis.sock"
    self.arguments = { unpack(options.arguments or {}) }
    if self.password then
        table.insert(self.arguments, "--requirepass")
        table.insert(self.arguments, self.password)
    end
    for _ = 1, 5 do
        self.port, self.tls_port = free_port(), self.tls and free_port()
        launch(self)
        if answers(self) then
            return self
        end
        self.process:destroy()
    end
    error("redis-server does not start: " .. (run.read_file(self.folder .. "/output") or "")
          .. (run.read_file(self.folder .. "/redis.log") or ""), 2)
end

--- Its URL for the option `redis`, without user and password.
function Server:url(db)
    return "redis://127.0.0.1:" .. self.port .. (db and "/" .. db or "")
end

--- The same for TLS.  host: 127.0.0.1.
function Server:tls_url(host)
    return ("rediss://%s:%d"):format(host or "127.0.0.1", self.tls_port)
end

--- A connection of its own; give it to close.
function Server:connect()
    local client = assert(resp.connect({ port = self.port }))
    if self.password then
        assert(client:call("AUTH", self.password) == "OK")
    end
    return client
end

--- Carries out one command.  An error reply raises.
function Server:call(...)
    secrets.check_command({ ... })
    local client = self:connect()
    local ok, reply = pcall(client.call, client, ...)
    client:close()
    if not ok then
        error(reply, 2)
    elseif type(reply) == "table" and reply.err then
        error("Redis: " .. reply.err, 2)
    end
    return reply
end

--- All keys of database 0, sorted.
function Server:keys()
    local keys = self:call("KEYS", "*")
    table.sort(keys)
    return keys
end

--- Stalls it: it keeps its connections, and answers nothing.
function Server:freeze()
    self.process:freeze()
end

function Server:thaw()
    self.process:thaw()
end

--- As a crash.
function Server:kill()
    self.process:kill()
    self.process:destroy()
end

--- Starts it again, on the same port, and waits until it answers.
function Server:restart()
    if self.process:alive() then
        self:kill()
    end
    unistd.unlink(self.path)
    run.wait_until("redis-server is back", function()
        launch(self)
        if answers(self) then
            return true
        end
        self.process:destroy()
    end, 30)
end

--- It answers again, whatever a spec that failed has left of it.  For after_each.
function Server:mend()
    if self.process:alive() then
        self:thaw()
    else
        self:restart()
    end
end

function Server:stop()
    self.process:destroy()
end

-- -- What Redis is told --------------------------------------------------------------------------

local ESCAPES = { n = "\n", r = "\r", t = "\t", a = "\a", b = "\b" }

local function unescape(text)
    text = text:gsub("\\(.)(%x?%x?)", function(first, rest)
        if first == "x" then
            return string.char(tonumber(rest, 16))
        end
        return (ESCAPES[first] or first) .. rest
    end)
    return text
end

-- '1.5 [0 127.0.0.1:4242] "set" "key" "value"' as { db=, client=, "SET", "key", "value" }.
local function parse(line)
    local db, client, rest = line:match("^[%d.]+ %[(%d+) ([^%]]*)%] (.*)$")
    local entry = { db = tonumber(db), client = client }
    local at = 1
    while true do
        local _, stop = rest:find('^ ?"', at)
        if not stop then
            break
        end
        at = stop + 1
        local from = at
        while rest:sub(at, at) ~= '"' do
            at = at + (rest:sub(at, at) == "\\" and 2 or 1)
        end
        entry[#entry + 1] = unescape(rest:sub(from, at - 1))
        at = at + 1
    end
    entry[1] = entry[1]:upper()
    return entry
end

--- Records every command that this server carries out from now on.
function Server:monitor()
    local monitor = setmetatable({ server = self, client = self:connect(), count = 0 }, Monitor)
    assert(monitor.client:call("MONITOR") == "OK")
    run.finally(function() monitor:close() end)
    return monitor
end

--- The commands carried out since the last call, but those of the specs' own connections that
-- this takes: an array of { "GET", "key", db=, client= }.
function Monitor:commands()
    self.count = self.count + 1
    local mark = "mark of the monitor " .. self.count
    self.server:call("ECHO", mark)
    local list = {}
    while true do
        local entry = parse(assert(self.client:read()))
        if entry[1] == "ECHO" and entry[2] == mark then
            break
        end
        list[#list + 1] = entry
    end
    -- The marker's own connection may have had to say who it is.
    if self.server.password and list[#list] and list[#list][1] == "AUTH" then
        list[#list] = nil
    end
    return list
end

--- The same, each as one line: "GET key".
function Monitor:lines()
    local lines = {}
    for i, entry in ipairs(self:commands()) do
        lines[i] = table.concat(entry, " ")
    end
    return lines
end

function Monitor:close()
    self.client:close()
end

return _M
