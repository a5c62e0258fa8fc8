--- What happens to the hosts of the soak, and to their Redis: an array of functions, each of which
-- does something and answers what; or nil where that cannot be just now.

local requests = require "spec.soak.requests"
local run = require "spec.support.run"
local signal = require "posix.signal"
local world = require "spec.soak.world"

local SETTLES = 2 -- what a process that was killed had sent is with a Redis that answers by then
local WORKERS = world.WORKERS

local be_away = world.be_away
local hosts = world.hosts
local later = world.later
local redis_answers = world.redis_answers

local function any_host(with_steady)
    return hosts[math.random(with_steady and 1 or world.STEADY + 1, world.HOSTS)]
end

-- Its workers write no more until Redis has had time for what the dead one had sent.
local function note_death(host)
    for worker = 0, WORKERS - 1 do
        local number = (host.number - 1) * WORKERS + worker
        world.book:note_death(number)
        later(SETTLES, function() world.book:note_settled(number) end)
    end
end

-- Redis is dead or stops for some seconds: nobody is killed meanwhile.
local function hold_redis(seconds, mend)
    be_away(seconds)
    later(seconds, function()
        mend()
        be_away(0)
    end)
end

return {
    function()
        local host = any_host()
        local pids = host.web:workers()
        if not redis_answers() or next(host.stopped) or #pids == 0 then
            return
        end
        note_death(host)
        be_away(SETTLES) -- and Redis is left alone for as long
        host.may_cut = host.may_cut + 2
        signal.kill(pids[math.random(#pids)], signal.SIGKILL)
        return "workers killed"
    end,
    function()
        local host = any_host(true)
        local pids = host.web:workers()
        local pid = pids[math.random(#pids)]
        if pid and not host.stopped[pid] then
            host.stopped[pid] = true
            signal.kill(pid, signal.SIGSTOP)
            later(math.random() * 2, function()
                signal.kill(pid, signal.SIGCONT)
                host.stopped[pid] = nil
            end)
            return "workers stopped"
        end
    end,
    function()
        local host = any_host()
        if redis_answers() and not next(host.stopped) and #host.web:workers() == WORKERS then
            host.may_cut = host.may_cut + 2
            host.web.process:signal("HUP")
            return "reloads"
        end
    end,
    function()
        local way = any_host(true).way
        if way.links == "pass" then
            way:treat_links(math.random(2) == 1 and "swallow" or "cut")
            later(math.random() * 2.5, function() way:treat_links("pass") end)
            return "links cut"
        end
    end,
    function()
        local way = any_host(true).way
        if way.delay == 0 and redis_answers() then
            way:hold_up(math.random(1, 60))
            hold_redis(math.random() * 2, function() way:hold_up(0) end)
            return "ways slowed"
        end
    end,
    function()
        if redis_answers() then
            world.server:call("CLIENT", "KILL", "TYPE",
                              math.random(2) == 1 and "pubsub" or "normal")
            return "connections killed"
        end
    end,
    function()
        if redis_answers() then
            world.server.process:signal("STOP")
            hold_redis(math.random(5) == 1 and world.TIMEOUT + 0.5 or math.random() * 0.4,
                       function() world.server:thaw() end)
            return "stops of Redis"
        end
    end,
    function()
        if redis_answers() and math.random(3) == 1 then
            world.server:kill()
            local loses = math.random(3) == 1
            if loses then
                run.run({ "rm", "-rf", world.server.folder .. "/appendonlydir" })
                world.book:lose()
            end
            hold_redis(math.random() * 2, function() world.server:restart() end)
            return loses and "restarts of Redis without its keys" or "restarts of Redis"
        end
    end,
    function()
        local host = any_host(true)
        if not host.flood then
            host.flood = requests.send(host, "/press") -- its worker may be stopped
            return "floods of values"
        end
    end,
    function()
        world.set_clock(math.random(-400, 400) * 86400)
        return "steps of the wall clock"
    end,
}
