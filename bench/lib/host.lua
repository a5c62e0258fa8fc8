--- An nginx that listens on a socket in a folder of its own, for suites that send requests.

local files = require "lib.files"
local nginx = require "lib.nginx"
local process = require "lib.process"
local shell = require "lib.shell"

local _M = {}

local CONF = [[
$modules
worker_processes $workers;
user root;
daemon off;
error_log $folder/error.log warn;
pid $folder/pid;
events { worker_connections 2048; }
http {
    access_log off;
    keepalive_requests 10000000;
    client_body_temp_path $folder/body;
    proxy_temp_path $folder/proxy;
    fastcgi_temp_path $folder/fastcgi;
    uwsgi_temp_path $folder/uwsgi;
    scgi_temp_path $folder/scgi;
    lua_package_path "$bench/?.lua;$bench/../lua/?.lua;$mlcache;";
    $http
    init_by_lua_block { $init }
    server {
        listen unix:$folder/http.sock;
        listen 127.0.0.1:$port backlog=1024;
        $server
    }
}
]]

--- Starts one.
-- @param options { workers =, init = Lua text, server = what goes into the server block,
--   http = what goes before that, port = one of 127.0.0.1 that it listens on, too }
-- @return { folder =, where http.sock and error.log are; port = }
function _M.start(context, name, options)
    local folder = context.scratch .. "/" .. name
    local values = {
        modules = nginx.modules(), workers = options.workers, folder = folder,
        bench = context.bench, init = options.init, server = options.server,
        http = options.http or "", mlcache = nginx.mlcache_path(), port = options.port,
    }
    local conf = options.port and CONF or CONF:gsub("\n%s*listen 127[^\n]*", "")
    os.execute("mkdir -p " .. folder)
    files.write(folder .. "/nginx.conf", (conf:gsub("%$(%l+)", values)))
    local started = process.start(folder, "nginx", "%s -p %s -c %s/nginx.conf",
                                  nginx.PROGRAM, folder, folder)
    local host = { process = started, folder = folder, port = options.port }
    process.await(started, function()
        return files.read(folder .. "/pid") and #_M.workers(host) == options.workers
    end)
    return host
end

--- Stops it, and waits until it is gone.
function _M.stop(host)
    process.stop(host.process, "QUIT")
end

--- What a request to it answers.
function _M.get(host, path)
    return shell.output("curl -s --unix-socket %s/http.sock 'http://host%s'", host.folder, path)
end

--- The pids of its workers.
function _M.workers(host)
    local pid, pids = host.process.pid, {}
    for child in shell.output("cat /proc/%d/task/%d/children", pid, pid):gmatch("%d+") do
        pids[#pids + 1] = tonumber(child)
    end
    return pids
end

return _M
