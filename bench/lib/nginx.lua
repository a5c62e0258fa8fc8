--- Runs a job inside a real nginx, which is where ngx.shared.DICT is, and returns what it answers.
--
-- A job is a Lua file that returns a function of its arguments (a table that JSON can hold).  It
-- runs in a timer of each worker; what the one in worker 0 returns is the answer.  nginx listens
-- nowhere: it starts, does its job and goes.

local json = require "cjson"

local files = require "lib.files"

local _M = { PROGRAM = os.getenv("TANDEM_NGINX") or "nginx" }

local MODULES = "/usr/lib/nginx/modules/"

local CONF = [[
%s
daemon off;
%s
worker_processes %d;
error_log %s/error.log warn;
pid %s/pid;
events { worker_connections 64; }
http {
    access_log off;
    client_body_temp_path %s/body;
    proxy_temp_path %s/proxy;
    fastcgi_temp_path %s/fastcgi;
    uwsgi_temp_path %s/uwsgi;
    scgi_temp_path %s/scgi;
    lua_package_path "%s/?.lua;%s/../lua/?.lua;%s/../lua/?/init.lua;%s;";
%s
    init_by_lua_block { require("lib.worker").init("%s") }
    init_worker_by_lua_block { require("lib.worker").start() }
}
]]

--- Lines that load lua-nginx-module where it is not built in.
function _M.modules()
    local openresty = os.getenv("OPENRESTY")
    if openresty and openresty ~= "" then
        return ""
    end
    return "load_module " .. MODULES .. "ndk_http_module.so;\n"
        .. "load_module " .. MODULES .. "ngx_http_lua_module.so;\n"
end

--- Where $MLCACHE has lua-resty-mlcache, as the beginning of a Lua path.
function _M.mlcache_path()
    local folder = os.getenv("MLCACHE")
    return folder and folder .. "/?.lua;" .. folder .. "/?/init.lua;" or ""
end

--- Runs a job.
-- @param job path below bench/jobs, without .lua
-- @param args its arguments
-- @param options { workers = 1, dicts = { name = size }, folder = the scratch folder,
--   bench = bench's folder }
function _M.run(job, args, options)
    local workers, folder, bench = options.workers or 1, options.folder, options.bench
    local dicts = {}
    for name, size in pairs(options.dicts or {}) do
        dicts[#dicts + 1] = string.format("    lua_shared_dict %s %s;\n", name, size)
    end
    local mode = workers == 1 and "master_process off;" or "master_process on; user root;"
    local f = folder

    os.remove(f .. "/answer.json")
    files.write(f .. "/args.json", json.encode({ job = job, args = args, workers = workers }))
    files.write(f .. "/nginx.conf",
               string.format(CONF, _M.modules(), mode, workers, f, f, f, f, f, f, f, bench, bench,
                             bench, _M.mlcache_path(), table.concat(dicts), f))
    os.execute(string.format("timeout --foreground 600 %s -p %s -c %s/nginx.conf >>%s/output 2>&1",
                             _M.PROGRAM, f, f, f))
    local answer = files.read(f .. "/answer.json")
    if not answer then
        error("the job " .. job .. " has given no answer; nginx said:\n"
              .. (files.read(f .. "/error.log") or "") .. (files.read(f .. "/output") or ""))
    end
    local decoded = json.decode(answer)
    if decoded.problem then
        error("the job " .. job .. ": " .. decoded.problem)
    end
    return decoded.answer
end

return _M
