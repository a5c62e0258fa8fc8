--- A proxy before Redis, which may be told to lead elsewhere, and to do something to tracking links
-- alone.

local peer = require "spec.support.peer"
local run = require "spec.support.run"

local _M = {}
local Proxy = {}
Proxy.__index = Proxy

-- Its file says the port for new connections, what is done to links: "pass"; "swallow": not a
-- byte passes any more, and nobody is told; "cut": they are closed; and by how many milliseconds
-- everything is held up.
local SCRIPT = [[
    local poll = require "posix.poll"
    local socket = require "posix.sys.socket"

    local function told()
        local file = io.open(%q)
        local port, links, delay = file:read("*a"):match("^(%%d+) (%%a+) (%%d+)$")
        file:close()
        return tonumber(port), links, tonumber(delay)
    end

    local there = assert(socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0))
    local address = { family = socket.AF_INET, addr = "127.0.0.1", port = (told()) }
    if not socket.connect(there, address) then
        c:close()
        return
    end
    local fds = { [c.fd] = { events = { IN = true } }, [there] = { events = { IN = true } } }
    local is_link, pass = false, true
    while pass do
        local some = poll.poll(fds, 5) > 0
        for from, to in pairs({ [c.fd] = there, [there] = c.fd }) do
            local what, bytes = some and fds[from].revents, nil
            if what and (what.IN or what.HUP or what.ERR) then
                bytes = socket.recv(from, 65536)
                if not bytes or bytes == "" then
                    return
                end
                is_link = is_link or bytes:find("CLIENT\r\n$2\r\nID", 1, true)
            end
            local links = is_link and select(2, told()) or "pass"
            if links == "cut" then
                return
            elseif links == "swallow" then
                pass = false
            end
            local at, delay = 1, bytes and select(3, told()) or 0
            if delay > 0 then
                poll.poll({}, delay)
            end
            while pass and bytes and at <= #bytes do
                at = at + assert(socket.send(to, bytes:sub(at)))
            end
        end
    end
    while select(2, told()) == "swallow" do
        poll.poll({}, 5)
    end
]]

--- Starts one that leads to a port of 127.0.0.1.
function _M.start(port)
    local self = setmetatable({ file = run.temp_dir() .. "/told", port = port, links = "pass",
                                delay = 0 }, Proxy)
    self:tell()
    self.peer = peer.start(SCRIPT:format(self.file))
    return self
end

function Proxy:tell()
    run.write_file(self.file .. ".new", self.port .. " " .. self.links .. " " .. self.delay)
    assert(os.rename(self.file .. ".new", self.file))
end

--- Has it lead new connections to another port.
function Proxy:lead_to(port)
    self.port = port
    self:tell()
end

--- What is done to links from now on.
function Proxy:treat_links(how)
    self.links = how
    self:tell()
end

--- By how many milliseconds what passes is held up from now on, each time.
function Proxy:hold_up(ms)
    self.delay = ms
    self:tell()
end

function Proxy:url()
    return self.peer:url()
end

function Proxy:stop()
    self.peer:stop()
end

return _M
