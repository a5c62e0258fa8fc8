--- Real nginxes, each in a folder of its own, listening on a unix socket there.
--
-- Every one has these locations:
--   /plain   answers "plain" without any Lua
--   /eval    runs the Lua text in the request's body, in the content phase, and answers what it
--            returns as spec.support.show has it

local http = require "spec.support.http"
local resp = require "spec.support.resp"
local run = require "spec.support.run"
local secrets = require "spec.support.secrets"
local signal = require "posix.signal"
local stat = require "posix.sys.stat"
local unistd = require "posix.unistd"

local _M = {}
local Nginx = {}
Nginx.__index = Nginx

local START_SECONDS = 20

--- The lines of a configuration that load the Lua module, where it is not built in.
function _M.load_modules()
    local openresty = os.getenv("OPENRESTY")
    if openresty and openresty ~= "" then
        return ""
    end
    for _, folder in ipairs({ "/usr/lib/nginx/modules", "/usr/lib64/nginx/modules",
                              "/usr/share/nginx/modules", "/etc/nginx/modules" }) do
        if stat.stat(folder .. "/ngx_http_lua_module.so") then
            return "load_module " .. folder .. "/ndk_http_module.so;\n"
                .. "load_module " .. folder .. "/ngx_http_lua_module.so;\n"
        end
    end
    error("nginx's http-lua module is not installed: make deps", 0)
end

local CONF = [[
$load_modules
$user
worker_processes $workers;
daemon off;
pid nginx.pid;
error_log error.log notice;
env TMPDIR=$folder/tmp;
$main
events { worker_connections 1024; }
http {
    access_log off;
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi; scgi_temp_path scgi;
    client_body_buffer_size 1m;
    lua_package_path "$tree/lua/?.lua;$tree/?.lua;;";
    lua_package_cpath "$tree/build/?.so;;";
    lua_code_cache $code_cache;
    $init
    $init_worker
    $http
    server {
        listen unix:$folder/http.sock;
        location = /plain { return 200 "plain"; }
        location = /eval {
            content_by_lua_block {
                ngx.req.read_body()
                local chunk = assert(loadstring(ngx.req.get_body_data(), "=eval"))
                ngx.print((require("spec.support.show")(chunk())))
            }
        }
        $server
    }
}
]]

local function block(name, text)
    return text and name .. " {\n" .. text .. "\n}" or ""
end

-- "user NAME GROUP;", as far as we may say who the workers are.
local function user_directive(name)
    if unistd.geteuid() ~= 0 then
        return ""
    end
    local group, status = run.run({ "id", "-gn", name })
    assert(status == 0, group)
    return "user " .. name .. " " .. group:gsub("%s", "") .. ";"
end

-- With make coverage each Lua VM notes which lines it runs, and the library does, too.
local COVERAGE, LIBRARY = os.getenv("COVERAGE"), os.getenv("TANDEM_LIBRARY")
local NOTE_LINES = ("dofile(%q)\n"):format(run.root .. "/tools/coverage.lua")
local NOTED = COVERAGE
    and ("env COVERAGE=%s;\nenv TANDEM_LIBRARY=%s;\n"):format(COVERAGE, LIBRARY) or ""

local function configuration(self)
    local o = self.options
    local values = {
        load_modules = _M.load_modules(),
        user = user_directive(o.user or "root"),
        workers = self.workers_wanted, folder = self.folder, tree = self.tree,
        main = NOTED .. (o.main or ""),
        code_cache = o.code_cache == false and "off" or "on", http = o.http or "",
        init = block("init_by_lua_block", COVERAGE and NOTE_LINES .. (o.init or "") or o.init),
        init_worker = block("init_worker_by_lua_block", o.init_worker), server = o.server or "",
    }
    for uri, code in pairs(o.locations or {}) do
        values.server = values.server .. "location = " .. uri .. " { content_by_lua_block {\n"
            .. code .. "\n} }\n"
    end
    local text = CONF:gsub("%$([%a_]+)", values)
    return (text:gsub("%$folder", self.folder):gsub("%$tree", self.tree))
end

local function tree_readable_by_all(self)
    run.copy_tree(run.root .. "/lua", self.folder .. "/lua")
    for _, folder in ipairs({ "/build", "/spec", "/spec/support" }) do
        assert(stat.mkdir(self.folder .. folder, 493))
    end
    run.copy_tree(run.root .. "/build/libtandem.so", self.folder .. "/build/")
    run.copy_tree(run.root .. "/spec/support/show.lua", self.folder .. "/spec/support/")
    return self.folder
end

--- Starts one and waits until it answers.  options, all of them text for the configuration but the
-- ones noted: init and init_worker (Lua), locations (uri -> Lua for the content phase), server,
-- http and main (directives), workers (a number, default 2), user ("root" by default; "nobody"
-- works on a copy of the library), code_cache (boolean), env (as run.start).  $folder and $tree in
-- them stand for the folder of this nginx and the one with the library.
function _M.start(options)
    run.need(run.nginx)
    local self = setmetatable({ options = options, folder = run.temp_dir() }, Nginx)
    self.workers_wanted = options.workers or 2
    self.path = self.folder .. "/http.sock"
    self.tmp = self.folder .. "/tmp"
    assert(stat.mkdir(self.tmp, 511))
    assert(stat.chmod(self.tmp, 1023))
    self.tree = options.user and options.user ~= "root" and tree_readable_by_all(self) or run.root
    self:configure()
    local env = { TANDEM_LIBRARY = COVERAGE and LIBRARY or false,
                  LUA_PATH = false, LUA_CPATH = false }
    for name, value in pairs(options.env or {}) do
        env[name] = value
    end
    self.process = run.start({ run.nginx, "-p", self.folder, "-c", "nginx.conf",
                               "-e", "error.log" },
                             { cwd = self.folder, output = self.folder .. "/output",
                               env = env })
    run.wait_until("nginx answers", function()
        if not self.process:alive() then
            error("nginx does not start: " .. run.read_file(self.folder .. "/output")
                  .. self:log(), 0)
        end
        local fd = resp.connect_socket({ path = self.path })
        if fd then
            unistd.close(fd)
            return #self:workers() >= self.workers_wanted
        end
    end, START_SECONDS)
    return self
end

--- Writes its configuration anew, with some options changed: for the next reload.
function Nginx:configure(changes)
    for name, value in pairs(changes or {}) do
        self.options[name] = value
    end
    run.write_file(self.folder .. "/nginx.conf", configuration(self))
end

-- -- Requests ------------------------------------------------------------------------------------

--- GET, or what options say: see http.request.
function Nginx:get(uri, options)
    return http.request(self, uri, options)
end

-- The end of the log, for messages.
local function tail(self)
    return self:log():sub(-2000)
end

--- Runs Lua text in a request and returns what it returned, as show has it.
function Nginx:eval(code, seconds)
    local answer = self:get("/eval", { body = code, seconds = seconds })
    if answer.status ~= 200 then
        error((answer.err or answer.status) .. "\n" .. tail(self), 2)
    end
    return answer.body
end

--- Sends Lua text to be run, and does not wait: see http.send.
function Nginx:send_eval(code)
    return http.send(self, "/eval", { body = code })
end

--- The same as eval in a given worker: the others stand still meanwhile.
function Nginx:eval_in(worker, code)
    local others = {}
    for _, pid in ipairs(self:workers()) do
        if pid ~= worker then
            others[#others + 1] = pid
            assert(signal.kill(pid, signal.SIGSTOP))
            run.wait_until("the other worker stands still",
                           function() return run.state_of(pid) == "T" end)
        end
    end
    local ok, answer = pcall(self.eval, self, code)
    for _, pid in ipairs(others) do
        signal.kill(pid, signal.SIGCONT)
    end
    if not ok then
        error(answer, 2)
    end
    return answer
end

-- -- Processes -----------------------------------------------------------------------------------

--- The pids of its workers, those included that are shutting down.
function Nginx:workers()
    return run.children_of(self.process.pid)
end

--- Sends SIGHUP and waits until there are as many new workers as there should be.
-- Returns the pids of the old ones, which may still be there.
function Nginx:reload()
    local old, is_old = self:workers(), {}
    for _, pid in ipairs(old) do
        is_old[pid] = true
    end
    self.process:signal("HUP")
    run.wait_until("nginx has new workers", function()
        local fresh = 0
        for _, pid in ipairs(self:workers()) do
            fresh = fresh + (is_old[pid] and 0 or 1)
        end
        return fresh >= self.workers_wanted
    end, START_SECONDS)
    return old
end

--- Waits until none of these processes is left.  Returns the seconds that took.
function Nginx.await_end(_, pids, seconds)
    local began = run.now()
    for _, pid in ipairs(pids) do
        run.wait_until("worker " .. pid .. " ends", function()
            local state = run.state_of(pid)
            return not state or state == "Z"
        end, seconds)
    end
    return run.now() - began
end

--- Kills a worker and waits until nginx has another in its place.
function Nginx:kill_worker(pid)
    assert(signal.kill(pid, signal.SIGKILL))
    self:await_end({ pid })
    run.wait_until("nginx has replaced the worker",
                   function() return #self:workers() >= self.workers_wanted end)
end

-- What ps shows of them, and of their threads.
local function check_titles(self)
    local pids = self:workers()
    pids[#pids + 1] = self.process.pid
    for _, pid in ipairs(pids) do
        secrets.check_shown((run.read_file("/proc/" .. pid .. "/cmdline") or "")
                            .. table.concat(run.threads_of(pid), " "))
    end
end

--- Ends it gracefully.  Returns the seconds that took.
function Nginx:quit(seconds)
    check_titles(self)
    local began = run.now()
    self.process:signal("QUIT")
    self.process:wait(seconds or 10)
    local took = run.now() - began
    self.process:destroy()
    return took
end

function Nginx:stop()
    self.process:destroy()
end

-- -- Its log -------------------------------------------------------------------------------------

--- The whole error log.
function Nginx:log()
    return run.read_file(self.folder .. "/error.log") or ""
end

--- How often a pattern is in the log.
function Nginx:logged(pattern)
    local _, n = self:log():gsub(pattern, "")
    return n
end

--- The lines of level error or worse, but those that match one of the expected patterns.
function Nginx:problems(expected)
    local list = {}
    for line in self:log():gmatch("[^\n]+") do
        local level = line:match("^[%d/]+ [%d:]+ %[(%a+)%]")
        if level == "error" or level == "crit" or level == "alert" or level == "emerg" then
            local known = false
            for _, pattern in ipairs(expected or {}) do
                known = known or line:find(pattern) ~= nil
            end
            if not known then
                list[#list + 1] = line
            end
        end
    end
    return list
end

--- What is left in the folder that stands for /tmp in its workers.
function Nginx:leftovers()
    return run.list_tree(self.tmp)
end

return _M
