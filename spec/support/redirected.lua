--- A client of a real cluster that knows no map: it goes where the nodes send it.

local resp = require "spec.support.resp"

local _M = {}
local Client = {}
Client.__index = Client

local MOST = 16 -- redirections of one command

--- One that begins with the node at a port of 127.0.0.1.
function _M.new(port)
    return setmetatable({ port = port, clients = {}, where = {} }, Client)
end

local function connection(self, port)
    local client = self.clients[port] or resp.connect({ port = port })
    self.clients[port] = client
    return client
end

-- Raises where the node is away.
local function ask(self, port, asking, words)
    local client = assert(connection(self, port), "nobody listens")
    local ok, reply, there = pcall(function()
        if asking then
            client:call("ASKING")
        end
        client:write(resp.command(unpack(words)))
        return client:read(30)
    end)
    if not ok or there ~= true then
        client:close()
        self.clients[port] = nil
        error("the node hung up", 0)
    end
    return reply
end

--- Carries out a command of one key.  An error reply raises, and so does a node that is away: then
-- it may have been carried out or not.
function Client:call(command, key, ...)
    local port, asking = self.where[key] or self.port, false
    for _ = 1, MOST do
        local ok, reply = pcall(ask, self, port, asking, { command, key, ... })
        if not ok then
            self.where[key] = nil
            error(reply, 0)
        elseif type(reply) ~= "table" or not reply.err then
            return reply
        end
        local how, to = reply.err:match("^(%u+) %d+ .*:(%d+)$")
        if how ~= "MOVED" and how ~= "ASK" then
            error(reply.err, 0)
        end
        port, asking = tonumber(to), how == "ASK"
        self.where[key] = not asking and port or self.where[key]
    end
    error("sent from node to node", 0)
end

function Client:close()
    for _, client in pairs(self.clients) do
        client:close()
    end
    self.clients = {}
end

return _M
