--- Calls that wait on a semaphore for tickets, for a host with light threads.
--
-- A waiter is { left = tickets not reported yet, sema = its semaphore, deadline = ms, asleep = is
-- its call waiting on the semaphore? }.  When its last ticket is reported its semaphore is posted,
-- once.  A call whose request or light thread was killed never comes back: nobody is at its
-- semaphore any more, whoever reports its tickets is told, and the waiter is garbage with its
-- semaphore.

local pairs = pairs

local SWEEP_MS = 5000 -- how often waiters without a future are looked for
local GRACE_MS = 1000

local _M = {}

local waiting = {} -- ticket -> waiter
local next_sweep = 0

--- How many tickets there are.
_M.pending = 0

function _M.add(waiter, tickets, n)
    for i = 1, n do
        waiting[tickets[i]] = waiter
    end
    _M.pending = _M.pending + n
end

local function take(ticket)
    local waiter = waiting[ticket]
    if waiter then
        waiting[ticket] = nil
        _M.pending = _M.pending - 1
    end
    return waiter
end

--- A ticket has completed.  One that nobody waits for is fine.
-- @return true when its call was killed, so that nobody will take the outcome
function _M.report(ticket)
    local waiter = take(ticket)
    if not waiter then
        return
    end
    waiter.left = waiter.left - 1
    -- A semaphore counts who waits at it as less than nothing.  One that was nudged may have sent
    -- its call on its way already.
    if waiter.asleep and not waiter.nudged and waiter.sema:count() >= 0 then
        return true
    end
    if waiter.left == 0 then
        waiter.sema:post(1)
    end
end

--- Its call waits no longer.
function _M.remove(tickets, n)
    for i = 1, n do
        take(tickets[i])
    end
end

--- Wakes all waiters, for them to look again.  Their semaphores are then not to be used again.
function _M.wake_all()
    local woken = {}
    for _, waiter in pairs(waiting) do
        if not woken[waiter] then
            woken[waiter] = true
            waiter.nudged = true
            waiter.sema:post(1)
        end
    end
end

--- Forgets killed calls whose tickets were never reported: C drops an outcome that nobody takes.
function _M.sweep(now)
    if now < next_sweep then
        return
    end
    next_sweep = now + SWEEP_MS
    for ticket, waiter in pairs(waiting) do
        if now > waiter.deadline + GRACE_MS then
            take(ticket)
        end
    end
end

--- For a child of fork(): they were the parent's.
function _M.forget()
    waiting, _M.pending = {}, 0
end

return _M
