-- The waker of a host whose timers and sockets are the spec's.

local run = require "spec.support.run"
local socket = require "posix.sys.socket"
local unistd = require "posix.unistd"

local new_waker = require "resty.tandem.host.waker"
local waiters = require "resty.tandem.host.waiters"

describe("the waker", function()
    local tries, said, sock, waker

    -- Timers run at once; those of the waker's first second, that is, and not the far one.
    local function timer_at(seconds, fn, argument)
        tries = tries + 1
        if seconds == 0 then
            fn(false, argument)
        end
        return true
    end

    local function make(timer)
        waker = new_waker {
            timer_at = timer or timer_at, tcp = function() return sock end,
            semaphore = function() end, exiting = function() return false end,
            is_lasting = function() return true end,
            log = function(level, line) said[#said + 1] = level .. ": " .. line end,
        }
        waker.use_runtime_dir(run.temp_dir())
    end

    before_each(function()
        tries, said = 0, {}
        sock = { settimeouts = function() end, close = function() end }
        waiters.forget()
    end)
    teardown(run.cleanup)

    it("that gets no timer is tried again after a second, and spoken of once", function()
        make(function()
            tries = tries + 1
            return nil, "too many pending timers"
        end)
        for _, now in ipairs({ 5000, 5999, 6001, 6500 }) do
            waker.ensure(now)
            assert.is_false(waker.is_running())
        end
        assert.are.equal(2, tries)
        assert.are.same({ "warn: waiting calls have to poll: too many pending timers" }, said)
    end)

    it("whose timer is never run is started again after a second", function()
        make(function()
            tries = tries + 1
            return true
        end)
        for _, now in ipairs({ 5000, 5999, 6001 }) do
            waker.ensure(now)
            assert.is_false(waker.is_running())
        end
        assert.are.equal(2, tries)
        assert.are.same({}, said)
    end)

    it("that cannot connect says so, and where", function()
        function sock.connect()
            return nil, "no file descriptors"
        end
        make()
        waker.ensure(5000)
        assert.is_false(waker.is_running())
        assert.truthy(said[1]:find("^warn: waiting calls have to poll: cannot connect to /.*: "
                                   .. "no file descriptors$"), said[1])
    end)

    it("runs while it hears the bell, and wakes calls when it is hung up on", function()
        local fd, posts, ran = nil, 0, nil
        function sock.connect(_, path)
            fd = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0)
            return socket.connect(fd, { family = socket.AF_UNIX, path = path:match("^unix:(.*)$") })
        end
        function sock.receiveany()
            ran = waker.is_running()
            return nil, "closed"
        end
        waiters.add({ left = 1, asleep = true, sema = {
            post = function() posts = posts + 1 end, count = function() return -1 end,
        } }, { 1 }, 1)
        make()
        waker.ensure(5000)
        unistd.close(fd)
        assert.is_true(ran)
        assert.is_false(waker.is_running())
        assert.are.equal(1, posts)
        assert.are.same({}, said)
    end)
end)
