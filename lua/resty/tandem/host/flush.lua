--- Reads that are queued, and whose I/O thread has not been told: it is woken once for all that one
-- turn of nginx's event loop brings.
--
-- A semaphore's post is acted upon when the turn's events have been handled.  The light thread that
-- waits for it lives as long as the waker does; while there is none, nothing is corked.

local C = require("resty.tandem.lib").C

local FAR = 1000000 -- seconds

local _M = {
    cork = 0, -- a flag for the read that is to be flushed with others: TANDEM_CORK, or none
}

local corked, n = {}, 0 -- cores
local sema
local running = 0

--- Something of a core's was queued with the flag.
function _M.soon(core)
    if core.corked then
        return
    end
    core.corked = true
    n = n + 1
    corked[n] = core
    if not sema then
        _M.now()
    elseif n == 1 then
        sema:post(1)
    end
end

--- Sends what was queued.
function _M.now()
    for i = 1, n do
        local core = corked[i]
        corked[i], core.corked = nil, false
        if core.handle then
            C.tandem_uncork(core.handle)
        end
    end
    n = 0
end

local function flush_turns(run, own)
    while run == running do
        local ok, err = own:wait(FAR)
        if run == running and not ok and err ~= "timeout" then
            _M.stop()
        else
            _M.now()
        end
    end
end

--- Begins to flush turn by turn, in a light thread of its own.
-- @param own a semaphore; nil: there is none to be had, and nothing is corked
function _M.start(spawn, own)
    _M.stop()
    if own then
        sema, _M.cork = own, C.TANDEM_CORK
        spawn(flush_turns, running, own)
    end
end

--- From here on nothing is corked, and the light thread ends.
function _M.stop()
    local own = sema
    running, _M.cork, sema = running + 1, 0, nil
    if own then
        own:post(1)
    end
    _M.now()
end

--- For a child of fork(): all of it was the parent's.
function _M.forget()
    running, _M.cork, sema = running + 1, 0, nil
    for i = 1, n do
        corked[i].corked, corked[i] = false, nil
    end
    n = 0
end

return _M
