--- Plain LuaJIT: waiting blocks the thread, and is allowed everywhere.

local C = require("resty.tandem.lib").C
local mailbox = require "resty.tandem.host.mailbox"

local error = error

local PENDING = C.TANDEM_PENDING

local _M = { name = "plain", mailbox = mailbox }

function _M.read_flags()
    return 0
end

_M.write_flags = _M.read_flags

function _M.may_wait()
    return true
end

function _M.where()
    return "here"
end

function _M.wait(tickets, n, ms)
    local box = mailbox()
    local deadline = C.tandem_now_ms() + ms

    for i = 1, n do
        local left = deadline - C.tandem_now_ms()
        if C.tandem_wait(box, tickets[i], left > 0 and left or 0) == PENDING then
            return false
        end
    end
    return true
end

function _M.call(run, fn)
    fn(run)
    return true
end

function _M.later()
    return nil
end

function _M.after()
    return nil
end

function _M.breathe(since)
    return since
end

function _M.begins_worker()
    return false
end

function _M.rendezvous()
    return nil
end

function _M.use_runtime_dir()
end

function _M.respond()
    error("there is no request to answer here: this is not nginx", 3)
end
_M.request = _M.respond

function _M.log()
end

return _M
