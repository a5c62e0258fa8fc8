--- A redis-server of a suite's own.

local files = require "lib.files"
local process = require "lib.process"

local _M = {}

--- Starts one, on the socket folder/redis.sock, and, when it is given, on a port of 127.0.0.1; with
-- that it takes DEBUG.
-- @return its process; folder/redis.pid has its pid
function _M.start(folder, port)
    local log = folder .. "/redis.log"
    os.remove(log)
    local server = process.start(folder, "redis",
        "redis-server --unixsocket %s/redis.sock --port %d --bind 127.0.0.1 --save '' "
        .. "--appendonly no --dir %s --logfile %s%s",
        folder, port or 0, folder, log, port and " --enable-debug-command yes" or "")
    process.await(server, function()
        return (files.read(log) or ""):find("eady to accept connections", 1, true)
    end)
    return server
end

--- Stops it.
_M.stop = process.stop

return _M
