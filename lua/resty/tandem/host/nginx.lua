--- nginx: waiting yields the light thread.  The only file of the library that knows the ngx
-- table.
--
-- A waiting call sleeps on a semaphore, which the waker (waker.lua) posts when all the call's
-- operations have completed.

local ffi = require "ffi"
local semaphore = require "ngx.semaphore"

local lib = require "resty.tandem.lib"
local flush = require "resty.tandem.host.flush"
local mailbox = require "resty.tandem.host.mailbox"
local phases = require "resty.tandem.host.phases"
local process = require "resty.tandem.host.process"
local new_runs = require "resty.tandem.host.runs"
local new_waker = require "resty.tandem.host.waker"
local waiters = require "resty.tandem.host.waiters"

local ngx = ngx
local get_phase = ngx.get_phase
local is_yieldable = lib.is_yieldable
local pcall = pcall

local C = lib.C
local NOWAIT = C.TANDEM_NOWAIT

local BREATH_MS = 1              -- a walk lets others run after so long
local NO_WAKER_SLICE_MS = 5      -- how often a call looks itself while there is no waker
local POOLED = 64                -- semaphores kept for the next calls

ffi.cdef "void *SSL_magic_pending_session_ptr(void);"

local _M = { name = "nginx", mailbox = mailbox }

-- 0: may wait; false: Redis is not used; nil: must not wait.
local flag_of = {}
for phase, kind in pairs(phases) do
    flag_of[phase] = kind == "wait" and 0
end

-- Only an OpenSSL with OpenResty's patch, which has this function, lets a handshake wait for its
-- session.  With another one nginx gives the session up as soon as the code yields.
if not pcall(function() return ffi.C.SSL_magic_pending_session_ptr end) then
    flag_of.ssl_session_fetch = nil
end

-- -- May this code wait? -------------------------------------------------------------------------

--- On the path of every hit, so without the question whether the code may yield: a read that
-- turns out to need Redis asks it then.
function _M.read_flags()
    local flags = flag_of[get_phase()]
    if flags == nil then
        return NOWAIT
    end
    return flags
end

function _M.write_flags()
    local flags = flag_of[get_phase()]
    if flags == nil or flags == 0 and not is_yieldable() then
        return NOWAIT
    end
    return flags
end

-- Never found out by trying: a semaphore's wait that fails to yield stays in its queue and takes
-- another request's post.
function _M.may_wait()
    return flag_of[get_phase()] == 0 and is_yieldable()
end

function _M.where()
    local phase = get_phase()

    if flag_of[phase] == false then
        return "in phase " .. phase, ": use Redis from init_worker_by_lua* on"
    elseif flag_of[phase] == nil then
        return "in phase " .. phase
    end
    return "where the code cannot yield, as in a sort comparator, a gsub callback or the top level"
           .. " of a module"
end

-- -- Starting things ----------------------------------------------------------------------------

local pid = process.pid()
local loaded_in = get_phase()
local loaded_pid = pid
local first_request
local lasting = false

-- Does this VM outlive the request?  Sure when it was loaded before the workers were forked or in
-- init_worker, and when it is seen serving a second request.
local function is_lasting()
    if lasting then
        return true
    elseif loaded_in == "init_worker" or loaded_in == "init" and loaded_pid ~= pid then
        lasting = true
    elseif get_phase() ~= "timer" then
        local ok, id = pcall(function() return ngx.var.request_id end)
        if ok and id then
            lasting = first_request ~= nil and first_request ~= id
            first_request = first_request or id
        end
    end
    return lasting
end

-- ngx.timer.at returns nil, err, or raises where nginx has no connection left.
local function timer_at(delay, fn, argument)
    local ok, started, err = pcall(ngx.timer.at, delay, fn, argument)
    if not ok then
        return nil, started
    end
    return started, err
end

local function new_semaphore()
    return (semaphore.new(0))
end

local runs = new_runs {
    spawn = ngx.thread.spawn, kill = ngx.thread.kill, reap = ngx.thread.wait, timer_at = timer_at,
    semaphore = new_semaphore,
}
_M.call, _M.later = runs.call, runs.later

local waker = new_waker {
    spawn = ngx.thread.spawn, semaphore = new_semaphore, exiting = ngx.worker.exiting,
    timer_at = timer_at, is_lasting = is_lasting,
    tcp = function() return ngx.socket.tcp() end,
    log = function(level, message) _M.log(level, message) end,
}
_M.use_runtime_dir = waker.use_runtime_dir

-- -- Waiting -------------------------------------------------------------------------------------

local pool, pooled = {}, 0 -- semaphores of calls that are over

-- A child of fork() inherits this state, but neither the connection nor the light threads.
local function forget_parent()
    pid = process.pid()
    waiters.forget()
    runs.forget()
    flush.forget()
    waker.forget()
    pool, pooled = {}, 0
end

local function wait_for(waiter)
    local clean

    while waiter.left > 0 do
        local now = C.tandem_now_ms()
        local left = waiter.deadline - now
        if left <= 0 then
            return false
        end
        waker.ensure(now)
        if not waker.is_running() and left > NO_WAKER_SLICE_MS then
            left = NO_WAKER_SLICE_MS
        end
        waiter.asleep = true
        local ok, err = waiter.sema:wait(left < 1 and 0.001 or left / 1000)
        waiter.asleep = false
        if not ok and err ~= "timeout" then
            return false, err
        end
        clean = ok
        if not waker.is_running() then
            waker.drain()
        end
    end

    -- Posted once and that post taken: nothing of this call is left in the semaphore.  One that was
    -- posted otherwise, or whose call was killed, is left to the collector.
    if clean and not waiter.nudged and pooled < POOLED then
        pooled = pooled + 1
        pool[pooled] = waiter.sema
    end
    return true
end

local function take_semaphore()
    if pooled > 0 then
        local sema = pool[pooled]
        pool[pooled] = nil
        pooled = pooled - 1
        return sema
    end
    return semaphore.new(0)
end

function _M.wait(tickets, n, ms)
    if pid ~= process.pid() then
        forget_parent()
    end
    is_lasting()

    local now = C.tandem_now_ms()
    local sema, no_sema = take_semaphore()
    if not sema then
        return false, no_sema
    end
    waiters.sweep(now)

    local waiter = { left = n, sema = sema, deadline = now + ms, asleep = false, nudged = false }
    waiters.add(waiter, tickets, n)
    local done, err = wait_for(waiter)
    if not done then
        waiters.remove(tickets, n)
    end
    return done, err
end

function _M.after(seconds, fn, argument)
    local phase = get_phase()
    if phase == "init" then
        return nil -- the master: it has no event loop
    end
    return timer_at(seconds, function(premature)
        if not premature then
            fn(argument)
        end
    end) and true or nil
end

function _M.breathe(since)
    local now = C.tandem_now_ms()

    if now - since < BREATH_MS then
        return since
    end
    if _M.may_wait() then
        -- Not 0: without OpenResty's patches of nginx that is a timer due in the same turn of the
        -- loop, and one who sleeps again and again keeps the loop from everything but timers.
        ngx.sleep(0.001)
    end
    return C.tandem_now_ms()
end

-- -- The rest ------------------------------------------------------------------------------------

function _M.begins_worker()
    return get_phase() == "init_worker"
end

--- In init the workers will inherit the segment; later they meet under their master's name.
function _M.rendezvous()
    if get_phase() == "init" then
        return nil
    end
    local found, api = pcall(require, "ngx.process")
    local master = found and api.get_master_pid and api.get_master_pid()
    if not master then
        return nil
    end
    return "nginx-" .. master .. "-" .. process.start_time(master)
end

--- What the request that is being handled asks for.
-- @return its method, the argument `format` (nil: none), and the header Accept ("": none)
function _M.request()
    local format = ngx.var.arg_format
    return ngx.req.get_method(), format ~= "" and format or nil, ngx.var.http_accept or ""
end

--- Answers the request.
-- @tparam[opt] table headers name -> value
-- @tparam[opt] number status default: 200
function _M.respond(content_type, body, headers, status)
    ngx.status = status or ngx.HTTP_OK
    ngx.header.content_type = content_type
    ngx.header.content_length = #body
    ngx.header.cache_control = "no-store"
    for name, value in pairs(headers or {}) do
        ngx.header[name] = value
    end
    ngx.print(body)
end

local LEVELS = { error = ngx.ERR, warn = ngx.WARN, notice = ngx.NOTICE }

function _M.log(level, message)
    ngx.log(LEVELS[level] or ngx.NOTICE, "tandem: ", message)
end

return _M
