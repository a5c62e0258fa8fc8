local waiters = require "resty.tandem.host.waiters"

-- Stands for nginx's semaphore: counts its posts.  sleepers: how many wait at it.
local function waiter(left, deadline)
    local sema = { posts = 0, sleepers = 1 }
    function sema:post(n)
        self.posts = self.posts + n
    end
    function sema:count()
        return self.posts - self.sleepers
    end
    return { left = left, sema = sema, deadline = deadline or 0, asleep = true }
end

describe("waiters", function()
    before_each(waiters.forget)

    it("are posted once, when their last ticket is reported", function()
        local w = waiter(3)
        waiters.add(w, { 11, 12, 13, 99 }, 3)
        assert.are.equal(3, waiters.pending)
        waiters.report(12)
        waiters.report(12)
        waiters.report(99)
        waiters.report(11)
        assert.are.equal(0, w.sema.posts)
        waiters.report(13)
        waiters.report(13)
        assert.are.equal(1, w.sema.posts)
        assert.are.equal(0, waiters.pending)
    end)

    it("that were killed are told from those that live", function()
        local killed, awake, nudged = waiter(2), waiter(1), waiter(1)
        killed.sema.sleepers = 0
        awake.sema.sleepers, awake.asleep = 0, false
        waiters.add(killed, { 1, 2 }, 2)
        waiters.add(awake, { 3 }, 1)
        waiters.add(nudged, { 4 }, 1)
        nudged.sema.sleepers, nudged.nudged = 0, true
        assert.is_true(waiters.report(1))
        assert.is_true(waiters.report(2))
        assert.is_nil((waiters.report(3)))
        assert.is_nil((waiters.report(4)))
        assert.are.same({ 0, 1, 1 }, { killed.sema.posts, awake.sema.posts, nudged.sema.posts })
        assert.are.equal(0, waiters.pending)
    end)

    it("do not mix", function()
        local a, b = waiter(1), waiter(1)
        waiters.add(a, { 1 }, 1)
        waiters.add(b, { 2 }, 1)
        waiters.report(2)
        assert.are.same({ 0, 1 }, { a.sema.posts, b.sema.posts })
        assert.are.equal(1, waiters.pending)
    end)

    it("can leave", function()
        local w = waiter(2)
        waiters.add(w, { 1, 2 }, 2)
        waiters.report(1)
        waiters.remove({ 1, 2 }, 2)
        assert.are.equal(0, waiters.pending)
        waiters.report(2)
        assert.are.equal(0, w.sema.posts)
    end)

    it("are all woken, each once, and stay", function()
        local a, b = waiter(2), waiter(1)
        waiters.add(a, { 1, 2 }, 2)
        waiters.add(b, { 3 }, 1)
        waiters.wake_all()
        assert.are.same({ 1, 1 }, { a.sema.posts, b.sema.posts })
        assert.is_true(a.nudged and b.nudged)
        assert.are.equal(3, waiters.pending)
    end)

    it("long past their deadline are forgotten, now and then", function()
        waiters.add(waiter(1, 1e9), { 1 }, 1)
        waiters.add(waiter(1, 2e9), { 2 }, 1)
        waiters.sweep(1e9 + 500)
        assert.are.equal(2, waiters.pending)
        waiters.sweep(1e9 + 2000)
        assert.are.equal(2, waiters.pending)
        waiters.sweep(1e9 + 6000)
        assert.are.equal(1, waiters.pending)
        waiters.report(2)
        assert.are.equal(0, waiters.pending)
    end)
end)
