--- A redis-server of a suite's own, on a socket in the scratch folder.

local nginx = require "lib.nginx"

local _M = {}

--- @return its pid; the socket is folder/redis.sock
function _M.start(folder)
    os.execute(string.format("redis-server --port 0 --unixsocket %s/redis.sock --save '' "
        .. "--appendonly no --daemonize yes --dir %s --pidfile %s/redis.pid "
        .. "--logfile %s/redis.log >/dev/null", folder, folder, folder, folder))
    for _ = 1, 200 do
        local pid = tonumber(nginx.read_file(folder .. "/redis.pid") or "")
        if pid and os.execute(string.format("test -S %s/redis.sock", folder)) == 0 then
            return pid
        end
        os.execute("sleep 0.02")
    end
    error("redis-server does not come up")
end

--- Stops it.
function _M.stop(folder, pid)
    os.execute("kill " .. pid)
    os.remove(folder .. "/redis.pid")
end

--- Is there one at all?
function _M.is_installed()
    return os.execute("command -v redis-server >/dev/null") == 0
end

return _M
