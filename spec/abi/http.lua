--- An nginx with a given configuration of its http block, and requests to it by a unix socket.
local posix_socket = require "posix.sys.socket"
local posix_unistd = require "posix.unistd"
local shell = require "spec.abi.shell"

local _M = {}

--- The lines of a configuration that load the Lua module, where it is not built in.
function _M.modules()
    local openresty = os.getenv("OPENRESTY")
    if openresty and openresty ~= "" then
        return ""
    end
    return "load_module /usr/lib/nginx/modules/ndk_http_module.so;\n"
        .. "load_module /usr/lib/nginx/modules/ngx_http_lua_module.so;\n"
end

--- Starts nginx with two workers.  folder: one of its own, readable by all.  Returns when it
-- listens on folder/socket.
function _M.start(folder, http_block)
    shell.write_file(folder .. "/nginx.conf", _M.modules() .. [[
        worker_processes 2;
        pid nginx.pid;
        error_log error.log notice;
        events { worker_connections 64; }
        http {
            access_log off;
            client_body_temp_path body;
            proxy_temp_path proxy;
            fastcgi_temp_path fastcgi;
            uwsgi_temp_path uwsgi;
            scgi_temp_path scgi;
    ]] .. http_block .. "}\n")
    shell.must("cd %s && env -u NGINX -u TANDEM_LIBRARY -u LUA_PATH -u LUA_CPATH"
        .. " timeout 60 %s -p . -c nginx.conf -e error.log",
        shell.quote(folder), os.getenv("TANDEM_NGINX") or "nginx")
end

--- Stops it, and waits until it is gone.
function _M.stop(folder)
    local file = io.open(folder .. "/nginx.pid")
    if not file then
        return
    end
    local pid = tonumber(file:read("*l"))
    file:close()
    shell.must("kill -QUIT %d; i=0; while kill -0 %d 2>/dev/null; do"
        .. " i=$((i + 1)); [ $i -lt 100 ] || kill -KILL %d; sleep 0.1; done", pid, pid, pid)
end

--- GET over the socket: status, body.
function _M.get(socket_path, uri)
    local fd = assert(posix_socket.socket(posix_socket.AF_UNIX, posix_socket.SOCK_STREAM, 0))
    local address = { family = posix_socket.AF_UNIX, path = socket_path }
    assert(posix_socket.connect(fd, address))
    assert(posix_socket.send(fd, "GET " .. uri .. " HTTP/1.0\r\nHost: localhost\r\n\r\n"))
    local parts = {}
    repeat
        local part = assert(posix_socket.recv(fd, 65536))
        parts[#parts + 1] = part
    until part == ""
    posix_unistd.close(fd)
    local status, body = table.concat(parts):match("^HTTP/1%.%d (%d+).-\r\n\r\n(.*)$")
    return tonumber(status), body
end

return _M
