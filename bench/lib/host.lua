--- An nginx that listens on a socket in a folder of its own, for suites that send requests.

local nginx = require "lib.nginx"

local _M = {}

local CONF = [[
$modules
worker_processes $workers;
user root;
daemon on;
error_log $folder/error.log warn;
pid $folder/pid;
events { worker_connections 256; }
http {
    access_log off;
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
        listen 127.0.0.1:$port;
        $server
    }
}
]]

--- Starts one.
-- @param options { workers =, init = Lua text, server = what goes into the server block,
--   http = what goes before that, port = }
-- @return its folder, where http.sock is
function _M.start(context, name, options)
    local folder = context.scratch .. "/" .. name
    local values = {
        modules = nginx.modules(), workers = options.workers, folder = folder,
        bench = context.bench, init = options.init, server = options.server,
        http = options.http or "", mlcache = nginx.mlcache_path(),
    }
    local conf = CONF
    if not options.port then
        conf = conf:gsub("\n%s*listen 127[^\n]*", "")
    end
    values.port = options.port
    os.execute("mkdir -p " .. folder)
    nginx.write_file(folder .. "/nginx.conf", (conf:gsub("%$(%l+)", values)))
    local command = ("%s -p %s -c %s/nginx.conf >>%s/output 2>&1"):format(
        os.getenv("NGINX") or "nginx", folder, folder, folder)
    assert(os.execute(command) == 0, "nginx does not start: " ..
           (nginx.read_file(folder .. "/output") or ""))
    return folder
end

--- Stops it, and waits until it is gone, ten seconds at most.
function _M.stop(folder)
    os.execute(("pid=$(cat %s/pid); kill -QUIT $pid; "
                .. "timeout 10 tail -s 0.05 -f --pid=$pid /dev/null"):format(folder))
end

--- What a request to it answers.
function _M.get(folder, path)
    local pipe = assert(io.popen(("curl -s --unix-socket %s/http.sock 'http://host%s'")
                                 :format(folder, path)))
    local text = pipe:read("*a")
    pipe:close()
    return text
end

return _M
