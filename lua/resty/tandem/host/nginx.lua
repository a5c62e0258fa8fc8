--- nginx: waiting yields the light thread.  The only file of the library that knows the ngx
-- table.
--
-- A waiting call sleeps on a semaphore.  The waker, one light thread per Lua VM, reads the
-- mailbox's bell over a cosocket and posts the semaphore of each call whose operations have all
-- completed.
--
-- Life of the waker: started by the first call that waits, then it blocks without end, so an idle
-- worker is never woken.  A worker that exits must not be held up by it: a timer too far away to
-- fire is fired early by nginx at exit, and has C close the bell's other end, which ends the
-- waker.  Calls made later, while the worker is exiting, start it again; it then ends with the
-- last of them.
--
-- While there is no waker (it cannot connect, or nginx has no timer left) waiting calls look into
-- the mailbox themselves, every few milliseconds.
--
-- With lua_code_cache off there is a Lua VM per request, and a blocked waker would keep each of
-- them alive.  In a VM that is not known to serve more than one request the waker therefore ends
-- as soon as nothing is pending.

local ffi = require "ffi"
local semaphore = require "ngx.semaphore"

local lib = require "resty.tandem.lib"
local flush = require "resty.tandem.host.flush"
local mailbox = require "resty.tandem.host.mailbox"
local phases = require "resty.tandem.host.phases"
local process = require "resty.tandem.host.process"
local new_runs = require "resty.tandem.host.runs"
local waiters = require "resty.tandem.host.waiters"

local ngx = ngx
local exiting = ngx.worker.exiting
local get_phase = ngx.get_phase
local is_yieldable = lib.is_yieldable
local pcall = pcall
local tostring = tostring

local C = lib.C
local NOWAIT = C.TANDEM_NOWAIT
local OK = C.TANDEM_OK

local AT_ONCE = 64               -- tickets taken from the mailbox in one call
local BREATH_MS = 1              -- a walk lets others run after so long
local FAR = 1000000              -- seconds: the timer that only the worker's exit fires
local FOREVER_MS = 2147483647    -- the longest time-out that a cosocket takes, 24 days
local HUNG_UP_MS = 50            -- a waker hung up on while calls wait is started again after
local NO_WAKER_SLICE_MS = 5      -- how often a call looks itself while there is no waker
local PATH_BYTES = 128
local POOLED = 64                -- semaphores kept for the next calls
local RETRY_MS = 1000            -- a waker that could not connect is tried again after

ffi.cdef [[
int getpid(void);
void *SSL_magic_pending_session_ptr(void);
]]

local _M = { name = "nginx", mailbox = mailbox }

local read_flag, write_flag = {}, {}
for phase, kind in pairs(phases.of) do
    local none = kind == "none"
    read_flag[phase] = not none and 0
    write_flag[phase] = not none and 0
end

-- Only an OpenSSL with OpenResty's patch, which has this function, lets a handshake wait for its
-- session.  With another one nginx gives the session up as soon as the code yields.
if not pcall(function() return ffi.C.SSL_magic_pending_session_ptr end) then
    read_flag.ssl_session_fetch, write_flag.ssl_session_fetch = nil, nil
end

-- -- May this code wait? -------------------------------------------------------------------------

--- On the path of every hit, so without the question whether the code may yield: a read that
-- turns out to need Redis asks it then.
function _M.read_flags()
    local flags = read_flag[get_phase()]
    if flags == nil then
        return NOWAIT
    end
    return flags
end

function _M.write_flags()
    local flags = write_flag[get_phase()]
    if flags == nil or flags == 0 and not is_yieldable() then
        return NOWAIT
    end
    return flags
end

-- Never found out by trying: a semaphore's wait that fails to yield stays in its queue and takes
-- another request's post.
function _M.may_wait()
    return read_flag[get_phase()] == 0 and is_yieldable()
end

function _M.where()
    local phase = get_phase()

    if read_flag[phase] == false then
        return "in phase " .. phase, ": use Redis from init_worker_by_lua* on"
    elseif read_flag[phase] == nil then
        return "in phase " .. phase
    end
    return "where the code cannot yield, as in a sort comparator, a gsub callback or the top level"
           .. " of a module"
end

-- -- What is waiting -----------------------------------------------------------------------------

local pool, pooled = {}, 0 -- semaphores of calls that are over
local tickets_box = ffi.new("double[?]", AT_ONCE)
local runtime_dir

-- The waker: nil, "starting" or "running", and a number that tells an abandoned one that it is.
local waker, waker_run = nil, 0
local waker_since, waker_retry = 0, 0
local complained = false
local far_timer = false
local pid = ffi.C.getpid()

local function drain()
    local box = mailbox()
    local n
    repeat
        n = C.tandem_drain(box, tickets_box, AT_ONCE)
        for i = 0, n - 1 do
            if waiters.report(tickets_box[i]) then
                C.tandem_abandon(box, tickets_box[i])
            end
        end
    until n < AT_ONCE
end

-- -- The waker -----------------------------------------------------------------------------------

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

local runs = new_runs {
    spawn = ngx.thread.spawn, kill = ngx.thread.kill, reap = ngx.thread.wait, timer_at = timer_at,
    semaphore = function() return (semaphore.new(0)) end,
}
_M.call, _M.later = runs.call, runs.later

-- A child of fork() inherits this state, but neither the connection nor the light threads.
local function forget_parent()
    pid = ffi.C.getpid()
    waiters.forget()
    runs.forget()
    flush.forget()
    pool, pooled = {}, 0
    waker, waker_run, waker_retry, far_timer = nil, waker_run + 1, 0, false
end

local function far_fired(premature)
    far_timer = false
    if not premature then
        far_timer = timer_at(FAR, far_fired)
    end
    if waiters.pending == 0 then
        C.tandem_bell_hang_up(mailbox())
    end
end

local function connect()
    local path, err = ffi.new("char[?]", PATH_BYTES), ffi.new("char[256]")

    if C.tandem_bell_open(mailbox(), runtime_dir, path, PATH_BYTES, err, 256) ~= OK then
        return nil, ffi.string(err)
    end
    local sock = ngx.socket.tcp()
    sock:settimeouts(RETRY_MS, RETRY_MS, FOREVER_MS)
    local ok, why = sock:connect("unix:" .. ffi.string(path))
    if not ok then
        -- It may be full of strangers: those are hung up on, for the next try.
        C.tandem_bell_accept(mailbox())
        return nil, "cannot connect to " .. ffi.string(path) .. ": " .. why
    end
    if C.tandem_bell_accept(mailbox()) ~= OK then
        sock:close()
        return nil, "the connection to " .. ffi.string(path) .. " was not taken"
    end
    return sock
end

-- While nothing is pending it stays only if something will end it when the worker exits.
local function may_idle()
    if not lasting or exiting() then
        return false
    end
    far_timer = far_timer or timer_at(FAR, far_fired)
    return far_timer
end

-- Returns true when it has done its duty; nil, err when there is no connection.
local function listen(run)
    local sock, err = connect()
    if not sock then
        return nil, err
    end
    if run == waker_run then
        waker, complained = "running", false
        flush.start(ngx.thread.spawn, (semaphore.new(0)))
        drain()
    end
    while run == waker_run and (waiters.pending > 0 or may_idle()) do
        local data, why = sock:receiveany(AT_ONCE)
        if not data and why ~= "timeout" then
            break
        end
        drain()
    end
    sock:close()
    return true
end

local function no_waker(now, err)
    waker, waker_retry = nil, now + RETRY_MS
    if not complained then
        complained = true
        _M.log("warn", "waiting calls have to poll: " .. tostring(err))
    end
end

local function run_waker(_, run)
    if run ~= waker_run then
        return
    end
    local ok, done, err = pcall(listen, run)
    if run ~= waker_run then
        return
    end
    flush.stop()
    local now = C.tandem_now_ms()
    if not ok or not done then
        no_waker(now, ok and err or done)
    else
        waker, waker_retry = nil, waiters.pending > 0 and now + HUNG_UP_MS or 0
    end
    waiters.wake_all()
end

local function ensure_waker(now)
    if waker == "running" or waker == nil and now < waker_retry then
        return
    end
    -- nginx may accept a timer and not run it (lua_max_running_timers).
    if waker == "starting" and now < waker_since + RETRY_MS then
        return
    end
    waker, waker_run, waker_since = "starting", waker_run + 1, now
    local ok, err = timer_at(0, run_waker, waker_run)
    if not ok then
        no_waker(now, err)
    end
end

-- -- Waiting -------------------------------------------------------------------------------------

local function wait_for(waiter)
    local clean

    while waiter.left > 0 do
        local now = C.tandem_now_ms()
        local left = waiter.deadline - now
        if left <= 0 then
            return false
        end
        ensure_waker(now)
        if waker ~= "running" and left > NO_WAKER_SLICE_MS then
            left = NO_WAKER_SLICE_MS
        end
        waiter.asleep = true
        local ok, err = waiter.sema:wait(left < 1 and 0.001 or left / 1000)
        waiter.asleep = false
        if not ok and err ~= "timeout" then
            return false, err
        end
        clean = ok
        if waker ~= "running" then
            drain()
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
    if pid ~= ffi.C.getpid() then
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

--- The first cache that names a directory decides.
function _M.use_runtime_dir(directory)
    runtime_dir = runtime_dir or directory
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
