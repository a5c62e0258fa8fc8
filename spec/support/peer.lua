--- Peers that take the place of Redis and behave as they are told: silent, garbled, refusing, slow.
--
-- A peer is a process of its own (peer_main.lua) that runs a script for each connection.  A script
-- is Lua text with these at hand:
--
--   c:read()        the next bytes, whatever came at once; nil at the end
--   c:command()     the next command as an array of words; nil at the end.  Each is recorded as
--                   "command GET key", and each read that brought some as "bytes N"
--   c:commands(w,t) w and all commands that come until nothing has come for t seconds
--   c:write(bytes)  raises when the other side has gone
--   c:close(), c:reset()   end the connection, by FIN or by RST
--   c:pause(seconds)
--   greet(command)  the answer of a healthy Redis to what comes before data commands, or nil
--   empty(command)  the answer to a data command of a Redis without any keys
--   number          this is the number-th connection
--   record(...)     a line for peer:records()

local run = require "spec.support.run"

local _M = {}
local Peer = {}
Peer.__index = Peer

--- Starts a peer.
function _M.start(script)
    local folder = run.temp_dir()
    local self = setmetatable({ folder = folder, log = folder .. "/records" }, Peer)
    run.write_file(folder .. "/script.lua", script)
    run.write_file(self.log, "")
    self.process = run.start_lua("arg = { [0] = 'peer', '" .. folder .. "' }\n"
                                 .. "dofile('" .. run.root .. "/spec/support/peer_main.lua')")
    self.port = assert(tonumber(self.process:read_line()), "the peer does not start")
    return self
end

function Peer:url()
    return "redis://127.0.0.1:" .. self.port
end

--- What its scripts have recorded: an array of lines.
function Peer:records()
    local lines = {}
    for line in run.read_file(self.log):gmatch("([^\n]*)\n") do
        lines[#lines + 1] = line
    end
    return lines
end

--- How many of the recorded lines match a pattern.
function Peer:count(pattern)
    local n = 0
    for _, line in ipairs(self:records()) do
        if line:find(pattern) then
            n = n + 1
        end
    end
    return n
end

function Peer:stop()
    self.process:destroy()
end

-- -- Scripts -------------------------------------------------------------------------------------

--- Greets as Redis does, then answers each data command with these bytes.
function _M.answering(bytes)
    return ([[
        for words in c.command, c do
            c:write(greet(words) or %q)
        end
    ]]):format(bytes)
end

--- Greets as Redis does; then does what the script says with each data command, `words`.
function _M.greeting(script)
    return [[
        for words in c.command, c do
            local hello = greet(words)
            if hello then
                c:write(hello)
            else
                ]] .. script .. [[
            end
        end
    ]]
end

--- Takes connections and says nothing at all.
_M.SILENT = "while c:read() do end"

--- Does not speak Redis's protocol.
_M.GARBAGE = [[
    c:read()
    c:write("HTTP/1.1 400 Bad Request\r\nServer: not Redis\r\n\r\n<html>\0\255</html>")
    while c:read() do end
]]

--- Hangs up at once.
_M.HANGS_UP = "c:close()"

--- Answers GET in part, then hangs up.
_M.CLOSES_MID_REPLY = _M.greeting([[ c:write("$100\r\nabc") c:close() return ]])

--- The same, by RST.
_M.RESETS_MID_REPLY = _M.greeting([[ c:write("$100\r\nabc") c:reset() return ]])

return _M
