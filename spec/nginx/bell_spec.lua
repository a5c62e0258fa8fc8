--- The socket by which a worker is woken: others who find it neither wake nor answer anybody.

local fcntl = require "posix.fcntl"
local nginx = require "spec.support.nginx"
local redis = require "spec.support.redis"
local resp = require "spec.support.resp"
local run = require "spec.support.run"
local socket = require "posix.sys.socket"
local stat = require "posix.sys.stat"
local unistd = require "posix.unistd"

describe("a worker's bell", function()
    local server, web

    before_each(function()
        server = redis.start()
        web = nginx.start({
            workers = 1,
            init = ([[cache = assert(require("resty.tandem").new("web", { redis = %q, timeout = 20,
                tracking = false, prefix = "p:" }))]]):format(server:url()),
        })
        server:call("SET", "p:first", "value")
        assert.are.equal("'value' nil 'redis'", web:eval("return cache:get('first')"))
    end)
    teardown(run.cleanup)
    after_each(function()
        server:mend()
        web:quit()
        server:stop()
    end)

    local function path()
        for _, name in ipairs(web:leftovers()) do
            if stat.S_ISSOCK(assert(stat.lstat(name)).st_mode) ~= 0 then
                return name
            end
        end
    end

    local function connections()
        local place, n = path(), 0
        for name in run.read_file("/proc/net/unix"):gmatch(" 03 +%d+ ([^\n]+)") do
            n = n + (name == place and 1 or 0)
        end
        return n
    end

    -- A request that waits for Redis, which stands still.
    local function waiting()
        server:call("SET", "p:second", "what Redis has")
        server:freeze()
        local request = web:send_eval("return cache:get('second')")
        run.wait_until("it waits", function()
            return web:eval("return require('resty.tandem.host.waiters').pending") == "1"
        end)
        return request
    end

    it("hangs up on another process of the same user, whatever that says", function()
        local request = waiting()
        for _ = 1, 5 do -- it holds sixteen
            local fd = assert(resp.connect_socket({ path = path() }))
            unistd.write(fd, ("\1"):rep(64))
            unistd.close(fd)
        end
        assert.are.equal("plain", web:get("/plain").body)
        assert.is_true(request:is_waiting())
        server:thaw()
        assert.are.equal("'what Redis has' nil 'redis'", request:wait(10).body)
        assert.are.same({}, web:problems())
    end)

    it("that is full of strangers is emptied of them", function()
        local strangers, full = {}, false
        while not full do
            local fd = assert(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0))
            fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.O_NONBLOCK)
            full = not socket.connect(fd, { family = socket.AF_UNIX, path = path() })
            strangers[#strangers + 1] = fd
        end
        web:eval([[
            local mailbox = require("resty.tandem.host.mailbox")
            require("resty.tandem.lib").C.tandem_bell_hang_up(mailbox())
        ]])
        run.wait_until("they are hung up on", function()
            web:eval("return cache:get('nothing')")
            return unistd.read(strangers[1], 1) == ""
        end)
        for _, fd in ipairs(strangers) do
            unistd.close(fd)
        end
        run.wait_until("the worker is there again, alone", function()
            web:eval("return cache:get('nothing')")
            return connections() == 1
        end)
    end)

    it("that somebody else has put in its place is not believed, nor waited for", function()
        local place = assert(path())
        unistd.unlink(place)
        local fd = assert(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0))
        assert(socket.bind(fd, { family = socket.AF_UNIX, path = place }))
        assert(socket.listen(fd, 16))
        -- A worker that has begun anew comes to it.
        local old = web:reload()
        web:await_end(old)
        for i = 1, 20 do
            server:call("SET", "p:key" .. i, "value" .. i)
            assert.are.equal(("'value%d' nil 'redis'"):format(i),
                             web:eval(("return cache:get('key%d')"):format(i)))
        end
        unistd.close(fd)
    end)
end)
