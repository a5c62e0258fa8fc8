--- Functions that run in light threads of their own, for a host that has them: with a bound on how
-- long, and an eye on whether somebody still waits.
--
-- A run is a table of the caller's.  Here it gets
--   done      its function has returned
--   gone      a function, the caller's: called when nobody is left who could end the run, because
--             its request or light thread was killed, or its timer was accepted and never run
-- and a few fields for this file alone.
--
-- A caller that was killed is told by its semaphore: it counts who waits at it as less than
-- nothing.  One timer looks, and only while there are runs to look after.

local C = require("resty.tandem.lib").C
local each = require "resty.tandem.each"

local next = next
local pcall = pcall

local LOOK_MS = 100         -- how often runs are looked after
local LONGEST_MS = 2147483000
local LOST_MS = 2000        -- a timer that has not begun by then never will
local MOST_LATER = 64       -- runs in timers, begun or not, in one Lua VM

--- @param api spawn, kill, reap (ngx.thread.wait), semaphore (a function that makes one),
-- timer_at(seconds, fn, argument)
return function(api)
    local _M = {}

    local watched = {} -- a set of runs
    local looking = false
    local later = 0    -- runs in timers

    -- -- Looking after them ----------------------------------------------------------------------

    local function is_gone(run, now)
        if run.sema then
            return run.asleep and not run.done and run.sema:count() >= 0
        end
        return now > run.lost_at
    end

    local function drop(run)
        watched[run] = nil
        if run.is_later and not run.over then
            later = later - 1
        end
        run.over = true
    end

    local function look_after()
        local now = C.tandem_now_ms()
        for run in each(watched) do
            if is_gone(run, now) then
                drop(run)
                run.gone(run)
            end
        end
    end

    local look

    local function ensure_look()
        if not looking then
            looking = api.timer_at(LOOK_MS / 1000, look) and true or false
        end
    end

    function look(premature)
        looking = false
        look_after()
        if not premature and next(watched) then
            ensure_look()
        end
    end

    -- -- Running ---------------------------------------------------------------------------------

    local function body(fn, run)
        fn(run)
        run.done = true
        if run.asleep then
            run.sema:post(1)
        end
    end

    local function await(run, thread, ms)
        run.asleep = true
        watched[run] = true
        ensure_look()
        run.sema:wait((ms < LONGEST_MS and ms or LONGEST_MS) / 1000)
        run.asleep = false
        watched[run] = nil
        if not run.done then
            pcall(api.kill, thread)
            return false
        end
        return true
    end

    --- Calls fn(run) and waits until it has returned.  fn must not raise.
    -- @param ms how long at most
    -- @return true; false when it was killed, the time being over
    function _M.call(run, fn, ms)
        local sema = api.semaphore()
        if not sema then
            fn(run)
            return true
        end
        run.sema, run.done = sema, false
        local spawned, thread = pcall(api.spawn, body, fn, run)
        if not spawned then -- the phase has no light threads
            fn(run)
            return true
        end
        if not run.done and not await(run, thread, ms) then
            return false
        end
        -- Unless it is waited for, its coroutine stays until the caller's own end.
        pcall(api.reap, thread)
        return true
    end

    local function begin(premature, run)
        if run.over then
            return
        end
        watched[run] = nil
        if premature then
            drop(run)
            run.gone(run)
            return
        end
        run.begin(run)
        drop(run)
    end

    --- Has run.begin(run) called soon, in a timer, with no request.
    -- @return true; or nil when there is no timer to be had, or too many wait for theirs
    function _M.later(run)
        look_after()
        if later >= MOST_LATER or not api.timer_at(0, begin, run) then
            return nil
        end
        run.is_later = true
        run.lost_at = C.tandem_now_ms() + LOST_MS
        later = later + 1
        watched[run] = true
        ensure_look()
        return true
    end

    --- For a child of fork(): they were the parent's.
    function _M.forget()
        watched, looking, later = {}, false, 0
    end

    return _M
end
