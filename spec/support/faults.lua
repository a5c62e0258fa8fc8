--- What may happen to a Redis, and what calls then return: the facts behind docs/failure.md, each
-- of which spec/redis/failure_*_spec.lua puts to the test (spec/support/failure.lua says how).
--
-- A fault has
--   name      what its tests are called by
--   title     its heading in docs/failure.md
--   begin     makes a world: { url =, remote =, admin = a connection to its Redis, begin =
--             function, finish = function, lasting = seconds that connections last before }.
--             Every cache has in Redis the keys kept ("value") and theirs ("theirs")
--   get, set, delete   what the first call that meets it returns: "error", "absent", "refused"
--             (memory alone has it, or under fail nothing has), "unknown", "done", "not there"
--   after     when: "at once", "timeout", "connect_timeout"
--   later     when the calls after it return: "at once"; what they return is the same, but that set
--             and delete are "refused" once it is known that nothing can be sent
--   memory    what is in memory, meanwhile: "fresh", "stale" (once the lease is over), "gone"
--   says      what its errors say

local netns = require "spec.support.netns"
local ordeal = require "spec.support.ordeal"
local peer = require "spec.support.peer"
local redis = require "spec.support.redis"
local remote = require "spec.support.remote"
local resp = require "spec.support.resp"
local run = require "spec.support.run"
local stat = require "posix.sys.stat"
local unistd = require "posix.unistd"

local function fill(client)
    for _, operation in ipairs(ordeal.OPERATIONS) do
        for _, policy in ipairs(ordeal.POLICIES) do
            local prefix = ordeal.prefix(operation, policy)
            assert(client:call("SET", prefix .. "kept", "value") == "OK")
            assert(client:call("SET", prefix .. "theirs", "theirs") == "OK")
        end
    end
end

-- A real Redis, and a connection to it that lasts.
local function real(options)
    local server = redis.start(options)
    local world = { server = server, url = server:url(), admin = server:connect() }
    world.remote = remote.start()
    fill(world.admin)
    return world
end

local function command(world, ...)
    local reply = world.admin:call(...)
    if type(reply) == "table" and reply.err then
        error("Redis: " .. reply.err, 2)
    end
    return reply
end

-- What only new connections meet begins with the end of the others.  Had they not lasted, the first
-- attempt at new ones would come after a pause.
local LASTING = 1.1

local function disconnect_all(world)
    command(world, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    command(world, "CLIENT", "KILL", "TYPE", "pubsub")
end

-- -- Behind a proxy ------------------------------------------------------------------------------

-- Passes on what both sides say, but spoils the answers as the file "mode" says.
local PROXY = [[
    local poll = require "posix.poll"
    local socket = require "posix.sys.socket"
    local upstream = assert(require("spec.support.resp").connect_socket({ path = %q }))
    local function mode()
        local file = io.open(arg[1] .. "/mode")
        local text = file and file:read("*a") or "pass"
        if file then
            file:close()
        end
        return text
    end
    local spoil = {
        pass = function(bytes) c:write(bytes) end,
        silent = function() end,
        cut = function(bytes) c:write(bytes:sub(1, #bytes / 2)) c:close() os.exit(0) end,
        garbage = function() c:write("HTTP/1.1 400 Bad Request\r\n\r\n<html>\0\255</html>") end,
        late = function(bytes) c:pause(1.2) c:write(bytes) end,
        drip = function(bytes)
            for i = 1, #bytes do
                c:write(bytes:sub(i, i))
                c:pause(mode() == "drip" and 0.25 or 0)
            end
        end,
    }
    local fds = { [c.fd] = { events = { IN = true } }, [upstream] = { events = { IN = true } } }
    while true do
        poll.poll(fds, -1)
        if fds[c.fd].revents.IN or fds[c.fd].revents.HUP then
            local bytes = socket.recv(c.fd, 262144)
            if not bytes or bytes == "" then
                return
            end
            socket.send(upstream, bytes)
        end
        if fds[upstream].revents.IN or fds[upstream].revents.HUP then
            local bytes = socket.recv(upstream, 262144)
            if not bytes or bytes == "" then
                return
            end
            spoil[mode()](bytes)
        end
    end
]]

local function proxied(mode)
    return function()
        local world = real()
        local proxy = peer.start(PROXY:format(world.server.path))
        local path = proxy.folder .. "/mode"
        world.url = proxy:url()
        -- By rename, so that it is never read half written.
        local function set(text)
            run.write_file(path .. ".new", text)
            assert(os.rename(path .. ".new", path))
        end
        world.begin = function() set(mode) end
        world.finish = function() set("pass") end
        return world
    end
end

-- -- Without a network ---------------------------------------------------------------------------

local PORT = 6379 -- in a network of its own

-- A redis-server at an address.  inside: words before its name.  Returns a connection to it.
local function launch(address, port, inside)
    local folder = run.temp_dir()
    local program = { unpack(inside or {}) }
    for _, word in ipairs({ run.need(run.redis_server), "--port", port, "--bind", address,
                            "--protected-mode", "no", "--unixsocket", folder .. "/redis.sock",
                            "--save", "", "--dir", folder }) do
        program[#program + 1] = word
    end
    run.start(program, { output = folder .. "/output" })
    return run.wait_until("the redis-server at " .. address .. " answers", function()
        return (resp.connect({ path = folder .. "/redis.sock" }))
    end)
end

local function blackholed()
    local net = netns.start()
    local admin = launch(net.address, PORT, net.far)
    fill(admin)
    return {
        admin = admin,
        url = ("redis://%s:%d"):format(net.address, PORT),
        remote = remote.start({ inside = net.near }),
        begin = function() net:cut() end,
        finish = function() net:mend() end,
    }
end

-- -- Without a resolver --------------------------------------------------------------------------

-- The world's URL has a name whose address is in a file.  fault: what the file then says.
local function named(fault)
    return function()
        local world = real()
        local folder = run.temp_dir()
        local hosts, library = folder .. "/hosts", folder .. "/hosts.so"
        local output, status = run.run({ "cc", "-shared", "-fPIC", "-D_GNU_SOURCE", "-o", library,
                                         run.root .. "/spec/support/hosts.c", "-ldl" })
        assert(status == 0, output)
        local function set(text)
            run.write_file(hosts .. ".new", text)
            assert(os.rename(hosts .. ".new", hosts))
        end
        set("127.0.0.1")
        world.remote:stop()
        world.remote = remote.start({ env = { LD_PRELOAD = library, TANDEM_SPEC_HOSTS = hosts } })
        world.url = "redis://redis.scripted:" .. world.server.port
        world.lasting = LASTING
        world.begin = function()
            set(fault)
            disconnect_all(world)
        end
        world.finish = function() set("127.0.0.1") end
        world.set_address = set
        return world
    end
end

-- -- The faults ----------------------------------------------------------------------------------

local _M = {}

local function add(fault)
    _M[#_M + 1] = fault
end

add { name = "refused", title = "Connections are refused",
      get = "error", set = "refused", delete = "refused", after = "at once", later = "at once",
      memory = "stale", says = "refused",
      begin = function()
    local world = real()
    world.admin:close()
    world.admin = assert(resp.connect({ path = world.server.path }))
    world.lasting = LASTING
    world.begin = function()
        command(world, "CONFIG", "SET", "port", "0")
        disconnect_all(world)
    end
    world.finish = function() command(world, "CONFIG", "SET", "port", world.server.port) end
    return world
end }

add { name = "blackholed", title = "Packets vanish",
      get = "error", set = "unknown", delete = "unknown", after = "timeout", later = "at once",
      memory = "stale", says = "no answer in", begin = blackholed }

add { name = "silent", title = "Connections are taken, and nothing is ever answered",
      get = "error", set = "unknown", delete = "unknown", after = "timeout", later = "at once",
      memory = "stale", says = "no answer in", begin = proxied("silent") }

add { name = "stopped", title = "Redis is stopped (SIGSTOP, a frozen machine)",
      get = "error", set = "unknown", delete = "unknown", after = "timeout", later = "at once",
      memory = "stale", says = "no answer in",
      begin = function()
    local world = real()
    world.begin = function() world.server:freeze() end
    world.finish = function() world.server:thaw() end
    return world
end }

add { name = "killed", title = "Redis is killed",
      get = "error", set = "refused", delete = "refused", after = "at once", later = "at once",
      memory = "stale", says = "", -- that it closed the connection, or refuses a new one
      begin = function()
    local world = real()
    world.begin = function() world.server:kill() end
    world.finish = function()
        world.server:restart()
        world.admin = world.server:connect()
        fill(world.admin)
    end
    return world
end }

add { name = "restarted empty", title = "Redis is restarted, and has lost its keys",
      get = "absent", set = "done", delete = "not there", after = "at once",
      later = "at once", memory = "gone",
      begin = function()
    local world = real()
    world.begin = function()
        world.server:kill()
        world.server:restart()
        world.remote:eval("ordeal.await_loss()")
    end
    world.finish = function()
        world.admin = world.server:connect()
        fill(world.admin)
    end
    return world
end }

add { name = "loading", title = "Redis is loading its data: `-LOADING`",
      get = "error", set = "refused", delete = "refused", after = "at once", later = "at once",
      memory = "stale", says = "LOADING",
      begin = function()
    local world = real({ arguments = { "--enable-debug-command", "yes",
                                       "--loading-process-events-interval-bytes", "1024" } })
    command(world, "DEBUG", "POPULATE", "20000", "filler")
    world.lasting = LASTING
    world.begin = function()
        command(world, "CONFIG", "SET", "key-load-delay", "1000")
        local loader = world.server:connect()
        loader:write(resp.command("DEBUG", "RELOAD"))
        run.wait_until("Redis is loading", function()
            local reply = world.admin:call("DBSIZE")
            return type(reply) == "table" and reply.err:find("LOADING", 1, true)
        end)
        disconnect_all(world)
    end
    world.finish = function() command(world, "CONFIG", "SET", "key-load-delay", "0") end
    return world
end }

-- It answers; but writes, with this error.
local function refusing(name, code, begin)
    add { name = name, title = "Redis refuses writes: `-" .. code .. "`",
          get = "absent", set = "refused", delete = code == "OOM" and "done" or "refused",
          after = "at once", later = "at once", memory = "fresh", says = code, begin = begin }
end

refusing("out of memory", "OOM", function()
    local world = real()
    world.begin = function() command(world, "CONFIG", "SET", "maxmemory", "1") end
    world.finish = function() command(world, "CONFIG", "SET", "maxmemory", "0") end
    return world
end)

refusing("read only", "READONLY", function()
    local world, port = real(), redis.free_port()
    world.begin = function() command(world, "REPLICAOF", "127.0.0.1", port) end
    world.finish = function() command(world, "REPLICAOF", "NO", "ONE") end
    return world
end)

refusing("cannot save", "MISCONF", function()
    local world = real()
    local dump = world.server.folder .. "/dump.rdb"
    local function save(status)
        command(world, "BGSAVE")
        run.wait_until("saving is " .. status, function()
            return command(world, "INFO", "persistence"):find("rdb_last_bgsave_status:" .. status,
                                                              1, true)
        end)
    end
    world.begin = function()
        assert(stat.mkdir(dump)) -- where the file should go
        command(world, "CONFIG", "SET", "save", "86400 1000000")
        save("err")
    end
    world.finish = function()
        assert(unistd.rmdir(dump))
        save("ok")
    end
    return world
end)

add { name = "no password", title = "Redis wants a password that it is not given: `-NOAUTH`",
      get = "error", set = "refused", delete = "refused", after = "at once", later = "at once",
      memory = "stale", says = "NOAUTH",
      begin = function()
    local world = real()
    world.lasting = LASTING
    world.begin = function()
        command(world, "CONFIG", "SET", "requirepass", "s3cret")
        disconnect_all(world)
    end
    world.finish = function() command(world, "CONFIG", "SET", "requirepass", "") end
    return world
end }

add { name = "full", title = "Redis has as many clients as it takes",
      get = "error", set = "refused", delete = "refused", after = "at once", later = "at once",
      memory = "stale", says = "max number of clients",
      begin = function()
    local world = real()
    world.lasting = LASTING
    world.begin = function()
        command(world, "CONFIG", "SET", "maxclients", "1")
        disconnect_all(world)
    end
    world.finish = function() command(world, "CONFIG", "SET", "maxclients", "1000") end
    return world
end }

add { name = "cut off", title = "The connection ends in the middle of an answer",
      get = "error", set = "unknown", delete = "unknown", after = "at once", later = "at once",
      memory = "stale", says = "closed the connection", begin = proxied("cut") }

add { name = "garbage", title = "What answers does not speak Redis's protocol",
      get = "error", set = "unknown", delete = "unknown", after = "at once", later = "at once",
      memory = "stale", says = "not Redis's protocol", begin = proxied("garbage") }

add { name = "dripping", title = "Answers come byte by byte, too slowly",
      get = "error", set = "unknown", delete = "unknown", after = "timeout", later = "at once",
      memory = "stale", says = "no answer in", begin = proxied("drip") }

add { name = "late", title = "Answers come after the time-out",
      get = "error", set = "unknown", delete = "unknown", after = "timeout", later = "at once",
      memory = "stale", says = "no answer in", begin = proxied("late") }

add { name = "name hangs", title = "Looking the host's name up takes for ever",
      get = "error", set = "refused", delete = "refused", after = "connect_timeout",
      later = "at once", memory = "stale", says = "the host was not found in",
      begin = named("hang") }

add { name = "name fails", title = "The host's name is not found",
      get = "error", set = "refused", delete = "refused", after = "at once", later = "at once",
      memory = "stale", says = "cannot look the host up", begin = named("fail") }

add { name = "name moves", title = "The host's name changes its address",
      get = "absent", set = "done", delete = "not there", after = "at once",
      later = "at once", memory = "gone",
      begin = function()
    local world = named("127.0.0.1")()
    world.begin = function()
        -- The next server has the same port at another address, and not the keys.
        local old = world.server
        world.admin = launch("127.0.0.2", old.port)
        world.set_address("127.0.0.2")
        old:kill()
        world.remote:eval("ordeal.await_loss()")
    end
    world.finish = function() fill(world.admin) end
    return world
end }

return _M
