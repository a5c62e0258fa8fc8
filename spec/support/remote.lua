--- LuaJIT processes that run what they are told: with an environment of their own, or in a network
-- namespace.

local http = require "spec.support.http"
local resp = require "spec.support.resp"
local run = require "spec.support.run"
local unistd = require "posix.unistd"

local _M = {}
local Remote = {}
Remote.__index = Remote

-- A request's body is Lua text; the answer's is what it returned, as spec.support.show has it, or
-- for /literal as Lua text again.
local MAIN = [[
local signal = require "posix.signal"
local socket = require "posix.sys.socket"
local show = require "spec.support.show"
local unistd = require "posix.unistd"

signal.signal(signal.SIGPIPE, signal.SIG_IGN)
local listener = assert(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0))
assert(socket.bind(listener, { family = socket.AF_UNIX, path = %q }))
assert(socket.listen(listener, 8))

local function literal(value)
    if type(value) ~= "table" then
        return type(value) == "string" and ("%%q"):format(value) or tostring(value)
    end
    local parts = {}
    for key, each in pairs(value) do
        parts[#parts + 1] = "[" .. literal(key) .. "]=" .. literal(each)
    end
    return "{" .. table.concat(parts, ",") .. "}"
end

local function receive(fd)
    local text = ""
    repeat
        local bytes = socket.recv(fd, 65536)
        assert(bytes and bytes ~= "", "hung up")
        text = text .. bytes
        local length, from = text:match("Content%%-Length: (%%d+).-\r\n\r\n()")
        if length and #text >= from + length - 1 then
            return text:sub(from), text:find(" /literal ", 1, true) and literal or show
        end
    until false
end

while true do
    local fd = socket.accept(listener)
    local status, answer = "200 OK", nil
    local ok, err = xpcall(function()
        local text, as_text = receive(fd)
        answer = as_text(assert(loadstring(text, "=remote"))())
    end, debug.traceback)
    if not ok then
        status, answer = "500 Failed", tostring(err)
    end
    socket.send(fd, "HTTP/1.1 " .. status .. "\r\nContent-Length: " .. #answer .. "\r\n\r\n"
                    .. answer)
    unistd.close(fd)
end
]]

--- Starts one.  options: env (name -> value), inside (words before the program's name: what puts it
-- where it is to run).
function _M.start(options)
    options = options or {}
    local self = setmetatable({ path = run.temp_dir() .. "/remote.sock" }, Remote)
    local env = options.env or {}
    env.LUA_PATH = run.root .. "/lua/?.lua;" .. run.root .. "/?.lua;;"
    env.LUA_CPATH = run.root .. "/build/?.so;;"
    local program = { unpack(options.inside or {}) }
    for _, word in ipairs({ run.luajit, "-e", MAIN:format(self.path) }) do
        program[#program + 1] = word
    end
    self.output = self.path .. ".output"
    self.process = run.start(program, { env = env, cwd = run.root, output = self.output })
    run.wait_until("the process listens", function()
        assert(self.process:alive(), run.read_file(self.output))
        local fd = resp.connect_socket(self)
        if fd then
            unistd.close(fd)
        end
        return fd
    end)
    return self
end

--- Runs Lua text there.  Returns what it returned, as text.
function Remote:eval(text, seconds)
    local answer = http.request(self, "/", { body = text, seconds = seconds or 60 })
    if answer.status ~= 200 then
        error((answer.body or answer.err) .. "\n" .. (run.read_file(self.output) or ""), 2)
    end
    return answer.body
end

--- The same; returns the first of what it returned: a table of plain things, say.
function Remote:call(text, seconds)
    local answer = http.request(self, "/literal", { body = text, seconds = seconds or 60 })
    if answer.status ~= 200 then
        error((answer.body or answer.err) .. "\n" .. (run.read_file(self.output) or ""), 2)
    end
    return assert(loadstring("return " .. answer.body))()
end

function Remote:stop()
    self.process:destroy()
end

return _M
