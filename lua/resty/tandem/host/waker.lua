--- The waker, for a host with light threads and cosockets: one light thread per Lua VM, which reads
-- the mailbox's bell over a cosocket and has each call woken whose operations have all completed.
--
-- Its life: started by the first call that waits, then it blocks without end, so an idle worker is
-- never woken.  A worker that exits must not be held up by it: a timer too far away to fire is
-- fired early by nginx at exit, and has C close the bell's other end, which ends the waker.  Calls
-- made later, while the worker is exiting, start it again; it then ends with the last of them.
--
-- While there is none (it cannot connect, or nginx has no timer left) waiting calls look into the
-- mailbox themselves, every few milliseconds.
--
-- With lua_code_cache off there is a Lua VM per request, and a blocked waker would keep each of
-- them alive.  In a VM that is not known to serve more than one request the waker therefore ends
-- as soon as nothing is pending.

local ffi = require "ffi"

local C = require("resty.tandem.lib").C
local flush = require "resty.tandem.host.flush"
local mailbox = require "resty.tandem.host.mailbox"
local waiters = require "resty.tandem.host.waiters"

local pcall = pcall
local tostring = tostring

local OK = C.TANDEM_OK

local AT_ONCE = 64               -- tickets taken from the mailbox in one call
local FAR = 1000000              -- seconds: the timer that only the worker's exit fires
local FOREVER_MS = 2147483647    -- the longest time-out that a cosocket takes, 24 days
local HUNG_UP_MS = 50            -- one that was hung up on while calls wait is started again after
local PATH_BYTES = 128
local RETRY_MS = 1000            -- one that could not connect is tried again after

local tickets_box = ffi.new("double[?]", AT_ONCE)

--- @param api spawn, semaphore (a function that makes one), tcp (the same for a cosocket), exiting,
-- timer_at(seconds, fn, argument), log(level, message), is_lasting (does this VM outlive the
-- request?)
return function(api)
    local _M = {}

    -- nil, "starting" or "running", and a number that tells an abandoned one that it is.
    local state, newest = nil, 0
    local since, retry = 0, 0
    local complained = false
    local far_timer = false
    local runtime_dir

    --- Is there one?  If not, whoever waits has to drain the mailbox itself, again and again.
    function _M.is_running()
        return state == "running"
    end

    --- Wakes the calls whose operations have completed.
    function _M.drain()
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

    -- -- Its connection --------------------------------------------------------------------------

    local function connect()
        local path, err = ffi.new("char[?]", PATH_BYTES), ffi.new("char[256]")

        if C.tandem_bell_open(mailbox(), runtime_dir, path, PATH_BYTES, err, 256) ~= OK then
            return nil, ffi.string(err)
        end
        local sock = api.tcp()
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

    local function far_fired(premature)
        far_timer = false
        if not premature then
            far_timer = api.timer_at(FAR, far_fired)
        end
        if waiters.pending == 0 then
            C.tandem_bell_hang_up(mailbox())
        end
    end

    -- While nothing is pending it stays only if something will end it when the worker exits.
    local function may_idle()
        if not api.is_lasting() or api.exiting() then
            return false
        end
        far_timer = far_timer or api.timer_at(FAR, far_fired)
        return far_timer
    end

    -- -- Its run ---------------------------------------------------------------------------------

    -- Returns true when it has done its duty; nil, err when there is no connection.
    local function listen(run)
        local sock, err = connect()
        if not sock then
            return nil, err
        end
        if run == newest then
            state, complained = "running", false
            flush.start(api.spawn, api.semaphore())
            _M.drain()
        end
        while run == newest and (waiters.pending > 0 or may_idle()) do
            local data, why = sock:receiveany(AT_ONCE)
            if not data and why ~= "timeout" then
                break
            end
            _M.drain()
        end
        sock:close()
        return true
    end

    local function failed(now, err)
        state, retry = nil, now + RETRY_MS
        if not complained then
            complained = true
            api.log("warn", "waiting calls have to poll: " .. tostring(err))
        end
    end

    local function begin(_, run)
        if run ~= newest then
            return
        end
        local ok, done, err = pcall(listen, run)
        if run ~= newest then
            return
        end
        flush.stop()
        local now = C.tandem_now_ms()
        if not ok or not done then
            failed(now, ok and err or done)
        else
            state, retry = nil, waiters.pending > 0 and now + HUNG_UP_MS or 0
        end
        waiters.wake_all()
    end

    --- Starts one, unless there is one or it is too early to try again.
    function _M.ensure(now)
        if state == "running" or state == nil and now < retry then
            return
        end
        -- nginx may accept a timer and not run it (lua_max_running_timers).
        if state == "starting" and now < since + RETRY_MS then
            return
        end
        state, newest, since = "starting", newest + 1, now
        local ok, err = api.timer_at(0, begin, newest)
        if not ok then
            failed(now, err)
        end
    end

    --- Where the bell's socket goes: the first that is named decides.
    function _M.use_runtime_dir(directory)
        runtime_dir = runtime_dir or directory
    end

    --- For a child of fork(), which inherits this, but neither the connection nor the thread.
    function _M.forget()
        state, newest, retry, far_timer = nil, newest + 1, 0, false
    end

    return _M
end
