--- The Redis and the nginx instances that the demo starts for itself, on ports that were free.

local client = require "demo.client"
local system = require "demo.system"

local _M = {}

local TRIES = 5           -- a port that was free may be taken a moment later
local START_SECONDS = 15
local STOP_SECONDS = 5

local function read_file(path)
    local file = io.open(path)
    if not file then
        return ""
    end
    local text = file:read("*a")
    file:close()
    return text
end

local function write_file(path, text)
    local file = assert(io.open(path, "w"))
    assert(file:write(text))
    assert(file:close())
end

--- The last lines of a log.
function _M.tail(path, count)
    local lines = {}
    for line in read_file(path):gmatch("[^\n]+") do
        lines[#lines + 1] = line
    end
    return table.concat(lines, "\n", math.max(1, #lines - count + 1))
end

--- A word for the shell, whatever it holds.
function _M.quote(text)
    return "'" .. text:gsub("'", "'\\''") .. "'"
end

-- Calls start(port) until what it starts stays alive and is ready; it returns the pid.
local function start_on_free_port(name, log, start, is_ready)
    local pid, port
    for _ = 1, TRIES do
        port = system.free_port()
        pid = start(port)
        local ended
        local ready = system.wait_until(START_SECONDS, function()
            ended = system.has_ended(pid)
            return ended or is_ready(port)
        end)
        if ready and not ended then
            return pid, port
        end
        if not ended then
            system.stop(pid, system.SIGKILL, STOP_SECONDS)
        end
        if not read_file(log):find("Address already in use", 1, true) then
            break
        end
    end
    error(name .. " does not start:\n" .. _M.tail(log, 10), 0)
end

-- -- Redis ---------------------------------------------------------------------------------------

local Redis = {}
Redis.__index = Redis

--- Runs redis-cli.  Returns what it prints, without the last end of line.
function Redis:cli(...)
    local words = {}
    for i, word in ipairs({ ... }) do
        words[i] = _M.quote(word)
    end
    local pipe = assert(io.popen(("redis-cli -p %d %s 2>&1"):format(self.port,
                                                                   table.concat(words, " "))))
    local output = pipe:read("*a")
    pipe:close()
    return (output:gsub("\n$", ""))
end

local function spawn_redis(self, port)
    self.port = port
    return system.start({
        "redis-server", "--port", tostring(port), "--bind", "127.0.0.1", "--dir", self.folder,
        "--save", "", "--appendonly", "yes", "--daemonize", "no",
    }, self.log, system.SIGKILL)
end

--- @param folder its own, where it keeps its data
function _M.start_redis(folder)
    local self = setmetatable({ folder = folder, log = folder .. "/redis.log" }, Redis)
    self.pid = start_on_free_port("redis-server", self.log, function(port)
        return spawn_redis(self, port)
    end, function()
        return self:cli("PING") == "PONG"
    end)
    return self
end

--- Starts it again, on the same port and with the data it had.
function Redis:restart()
    self.pid = spawn_redis(self, self.port)
    if not system.wait_until(START_SECONDS, function() return self:cli("PING") == "PONG" end) then
        error("redis-server does not start again:\n" .. _M.tail(self.log, 10), 0)
    end
end

function Redis:kill()
    system.stop(self.pid, system.SIGKILL, STOP_SECONDS)
    self.pid = nil
end

function Redis:stop()
    if self.pid then
        system.kill(self.pid, system.SIGCONT)
        system.stop(self.pid, system.SIGTERM, STOP_SECONDS)
        self.pid = nil
    end
end

-- -- nginx ---------------------------------------------------------------------------------------

local Nginx = {}
Nginx.__index = Nginx

-- Replaces what must be there exactly once.
local function replace_one(text, what, with)
    local from, to = text:find(what, 1, true)
    if not from or text:find(what, to + 1, true) then
        error("nginx.conf should contain exactly once: " .. what)
    end
    return text:sub(1, from - 1) .. with .. text:sub(to + 1)
end

-- examples/nginx.conf for this demo: its ports, its folders, this source tree's library.
local function configuration(opts, folder, port)
    local text = read_file(opts.root .. "/examples/nginx.conf")
    if os.getenv("OPENRESTY") and os.getenv("OPENRESTY") ~= "" then
        text = text:gsub("load_module [^\n]*\n", "")
    end
    text = replace_one(text, "listen 127.0.0.1:8080", "listen 127.0.0.1:" .. port)
    text = replace_one(text, "redis://127.0.0.1:6379/0", "redis://127.0.0.1:" .. opts.redis_port)
    text = replace_one(text, "worker_processes 2;", "worker_processes " .. opts.workers .. ";")
    text = replace_one(text, "ttl = 600,", ("ttl = 600, runtime_dir = %q,"):format(folder
                                                                                  .. "/run"))
    local paths = {}
    for _, kind in ipairs({ "client_body", "proxy", "fastcgi", "uwsgi", "scgi" }) do
        paths[#paths + 1] = ("    %s_temp_path %s;\n"):format(kind, kind)
    end
    return replace_one(text, '    lua_package_path "$prefix?.lua;;";\n',
        ('    lua_package_path "%s/examples/?.lua;%s/lua/?.lua;;";\n'
         .. '    lua_package_cpath "%s/build/?.so;;";\n    access_log off;\n%s')
        :format(opts.root, opts.root, opts.root, table.concat(paths)))
end

--- @param opts root: of the source tree; redis_port; workers
-- @param folder its own, which workers may enter
function _M.start_nginx(opts, folder)
    system.make_open_folder(folder .. "/run")
    local self = setmetatable({ log = folder .. "/error.log" }, Nginx)
    self.pid, self.port = start_on_free_port("nginx", self.log, function(port)
        write_file(folder .. "/nginx.conf", configuration(opts, folder, port))
        return system.start({
            os.getenv("TANDEM_NGINX") or "nginx", "-p", folder, "-c", "nginx.conf",
            "-e", "error.log", "-g", "daemon off; pid nginx.pid; error_log error.log notice;",
        }, self.log, system.SIGTERM)
    end, function(port)
        return client.get(port, "/ping").status == 204
    end)
    return self
end

function Nginx:stop()
    system.stop(self.pid, system.SIGQUIT, STOP_SECONDS)
end

return _M
