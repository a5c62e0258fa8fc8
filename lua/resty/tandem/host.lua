--- The program that Lua runs in: resty.tandem.host.nginx or resty.tandem.host.plain, whichever it
-- is.
--
-- A host knows how to wait for pending operations, whether the running code may, and where log
-- lines go.  Both have:
--
--   name                       "nginx" or "plain"
--   mailbox()                  where the operations of this Lua VM complete; one for all its caches
--   read_flags()               TANDEM_* flags for a read: 0 or TANDEM_NOWAIT; false: not here
--   write_flags()              the same for a write
--   may_wait()                 may the running code wait for Redis?
--   where()                    for messages: what stands in the way of waiting; and advice, or nil
--   wait(tickets, n, ms)       waits until the first n tickets have completed, ms at most.  True;
--                              false when the time was over first; false, err when it cannot wait
--   call(run, fn, ms)          calls fn(run), which may not raise, and waits until it has returned,
--                              ms at most: true; false when it was killed.  In nginx it has a light
--                              thread of its own, and run.gone(run) is called when nobody waits any
--                              more.  Plain LuaJIT just calls it
--   later(run)                 has run.begin(run) called soon, in nobody's way: true; or nil, as
--                              always in plain LuaJIT
--   breathe(since)             to be called between the steps of a long walk, with what it returned
--                              before (at first: tandem_now_ms()); lets other requests run
--   begins_worker()            has this process begun just now, in place of another perhaps?
--   rendezvous()               the word under which the processes of this host program meet, or nil
--   use_runtime_dir(directory) where private sockets go, once someone has said so
--   request()                  method, `format` and Accept of the request that is being handled
--   respond(type, body, headers, status)  answers it
--   after(seconds, fn, arg)    has fn(arg) called then: true; or nil, as always in plain LuaJIT,
--                              when that is not possible here.  Not at all when the worker exits
--   log(level, message, topic) level: "error", "warn" or "notice".  With a topic, any text, at most
--                              one line a second of that

local C = require("resty.tandem.lib").C

local PAUSE_MS = 1000
local MOST_TOPICS = 1000

local ngx_api = package.loaded.ngx

local host = require(type(ngx_api) == "table" and ngx_api.get_phase and "resty.tandem.host.nginx"
                     or "resty.tandem.host.plain")

local log = host.log
local logger

--- Sends log lines to fn(level, message) instead; nil restores the host's own way.  Plain LuaJIT
-- logs nothing unless there is such a function; nginx logs to its error log.
function host.set_logger(fn)
    logger = fn
end

-- topic -> when a line of it was last logged, and how many were left out since
local last_of, topics = {}, 0

-- May a line of this topic be logged now?  And how many were not, since the last one.
local function may_log(topic)
    local now, last = C.tandem_now_ms(), last_of[topic]
    if last and now - last.ms < PAUSE_MS then
        last.left_out = last.left_out + 1
        return false
    elseif not last and topics >= MOST_TOPICS then
        last_of, topics = {}, 0
    end
    topics = topics + (last and 0 or 1)
    last_of[topic] = { ms = now, left_out = 0 }
    return true, last and last.left_out or 0
end

function host.log(level, message, topic)
    if topic then
        local may, left_out = may_log(topic)
        if not may then
            return
        elseif left_out > 0 then
            message = message .. " (and " .. left_out .. " more such lines were left out)"
        end
    end
    if logger then
        pcall(logger, level, message) -- the application's: it may raise
    else
        log(level, message)
    end
end

return host
