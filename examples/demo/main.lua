--- Starts a Redis and two nginx, tells the story on them, and goes on serving until asked to end.
--
--   luajit examples/demo/main.lua ROOT      ROOT: the source tree, an absolute path
--
-- Ends with status 0 when all went as told, 1 when not, 128 + n when ended by signal n before that.

local root = arg[1]
package.path = root .. "/examples/?.lua;" .. package.path

local servers = require "demo.servers"
local story = require "demo.story"
local system = require "demo.system"

local say = story.say

local once = os.getenv("DEMO_ONCE") or ""
local running = {} -- what has to be stopped, in the order in which it was started

local function start(folder)
    local function own(name)
        local path = folder .. "/" .. name
        system.make_visible_folder(path)
        return path
    end

    local redis = servers.start_redis(own("redis"))
    running[1] = redis
    local function nginx(name, workers)
        local one = servers.start_nginx({ root = root, redis_port = redis.port, workers = workers },
                                        own(name))
        running[#running + 1] = one
        return one
    end
    local a, b = nginx("a", 2), nginx("b", 1)

    say("A shop's product pages, JSON documents of some 4 KB, from a cache in two tiers.\n")
    say("   Redis    127.0.0.1:%d", redis.port)
    say("   host A   http://127.0.0.1:%d   nginx with two workers and 32 MB of memory for them",
        a.port)
    say("   host B   http://127.0.0.1:%d   another nginx, with memory of its own: in place of"
        .. "\n                                      a second machine", b.port)
    say("\n   Requests are those of examples/requests.txt.  \"In the handler\" is the time to get"
        .. "\n   the document, or to make and set it; \"at the client\" that to the last byte.")
    return redis, a, b
end

local function stop()
    for i = #running, 1, -1 do
        running[i]:stop()
    end
end

local function serve(redis, a, b, product)
    say("\nStill serving.  Try")
    for _, host in ipairs({ a, b }) do
        say("   curl -i http://127.0.0.1:%d/products/%s", host.port, product)
        say("   curl http://127.0.0.1:%d/stats", host.port)
    end
    say("   redis-cli -p %d GET catalogue:%s", redis.port, product)
    say("   kill -STOP %d; kill -CONT %d    (Redis)", redis.pid, redis.pid)
    say("\nCtrl-C ends everything.")

    local on_signal = { { fd = system.signal_fd, events = system.POLLIN } }
    while not system.asked_to_end() do
        system.poll(on_signal, 1)
        for _, host in ipairs({ a, b }) do
            if system.has_ended(host.pid) then
                error({ failed = "nginx has ended" }, 0)
            end
        end
        if redis.pid and system.has_ended(redis.pid) then
            say("Redis has ended; both hosts go on with what they have in memory.")
            redis.pid = nil
        end
    end
end

local function run(folder)
    local redis, a, b = start(folder)
    local product = story.tell(root, redis, a, b)
    if once == "" or once == "0" then
        serve(redis, a, b, product)
    end
end

local function show_logs(folder)
    for _, log in ipairs({ "redis/redis.log", "a/error.log", "b/error.log" }) do
        say("\n%s ends with\n%s", log, servers.tail(folder .. "/" .. log, 8))
    end
end

system.catch_signals()
local folder = system.make_folder()
system.remove_when_gone(folder)

local ok, problem = pcall(run, folder)
local status = 0
if not ok then
    if type(problem) == "table" and problem.signal then
        status = 128 + problem.signal
    else
        status = 1
        show_logs(folder)
        say("\nThe demo failed: %s", type(problem) == "table" and problem.failed or problem)
    end
end
stop()
os.execute("rm -rf " .. servers.quote(folder))
os.exit(status)
