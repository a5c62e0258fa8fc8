-- What stays in memory when an nginx is reloaded, restarted or replaced by another binary.

local nginx = require "spec.support.nginx"
local run = require "spec.support.run"
local signal = require "posix.signal"

local KEYS = 500

describe("the memory of an nginx", function()
    local web

    after_each(function()
        if web then
            web:stop()
            web = nil
        end
        run.cleanup()
    end)

    -- Memory only: nothing could come back from elsewhere.
    local function opening(options)
        return ([[cache = assert(require("resty.tandem").new("web", { near = false, %s }))]])
            :format(options)
    end

    local FILL = ([[
        for i = 1, %d do
            assert(cache:set("key" .. i, ("value" .. i):rep(10), i %% 2 * 100))
        end
        return cache:stats().entries
    ]]):format(KEYS)

    -- How many keys are there, with their values and with the time they have left.
    local LOOK = ([[
        local there = 0
        for i = 1, %d do
            local value, err, tier = cache:get("key" .. i)
            local left = cache:ttl("key" .. i)
            if value == ("value" .. i):rep(10) and tier == "memory"
                and (i %% 2 == 0 and left == 0 or i %% 2 == 1 and left > 0 and left <= 100) then
                there = there + 1
            end
        end
        return there
    ]]):format(KEYS)

    local function fill()
        assert.are.equal(tostring(KEYS), web:eval(FILL))
    end

    -- Every worker has all of it.
    local function all_there()
        for _, pid in ipairs(web:workers()) do
            assert.are.equal(tostring(KEYS), web:eval_in(pid, LOOK))
        end
    end

    -- The sizes in KB of what the master shares with its workers.
    local function shared_by_master()
        local sizes = {}
        for from, to in run.read_file("/proc/" .. web.process.pid .. "/maps")
            :gmatch("(%x+)%-(%x+) %S*s ") do
            sizes[(tonumber(to, 16) - tonumber(from, 16)) / 1024] = true
        end
        return sizes
    end

    local function reload()
        web:await_end(web:reload(), 20)
    end

    for name, path in pairs({
        ["without a file"] = "", ["in a file"] = "path = '$folder/segment',",
    }) do
        it(name .. " is kept over 20 reloads", function()
            web = nginx.start({ init = opening('memory = "4m",' .. path) })
            fill()
            for round = 1, 20 do
                reload()
                assert.are.equal("true", web:eval("return cache:set('round', '" .. round .. "')"))
                assert.are.equal(tostring(KEYS), web:eval(LOOK))
            end
            all_there()
            assert.are.equal("0 0 0", web:eval([[local m = cache:stats().memory
                return m.resets, m.lost_entries, m.evictions]]))
            assert.are.same({}, web:problems())
        end)
    end

    it("is another one when the identity changes, and the old one goes", function()
        web = nginx.start({ init = opening 'memory = "4m"' })
        fill()
        assert.is_true(shared_by_master()[4096])
        web:configure({ init = opening 'memory = "3m"' })
        reload()
        assert.are.equal("0", web:eval("return cache:stats().entries"))
        -- With the last user: the master's old Lua VM, given up when the new workers are there.
        run.wait_until("the old segment is gone",
                       function() return not shared_by_master()[4096] end)
        assert.is_true(shared_by_master()[3072])
        assert.are.same({}, web:problems())
    end)

    it("has options that are not identity changed by a reload, and stays", function()
        web = nginx.start({ init = opening 'memory = "4m"' })
        fill()
        web:configure({ init = opening 'memory = "4m", ttl = 7' })
        reload()
        all_there()
        assert.are.equal("true", web:eval [[
            cache:set("new", "value")
            local left = cache:ttl("new")
            return left > 0 and left <= 7
        ]])
    end)

    it("in a file is kept over a restart", function()
        local file = run.temp_dir() .. "/segment"
        local options = { init = opening(('memory = "4m", path = %q'):format(file)) }
        for round = 1, 3 do
            web = nginx.start(options)
            if round == 1 then
                fill()
            end
            all_there()
            web:quit()
            assert.are.same({}, web:problems())
        end
        -- And when it is killed: whatever was not being written.
        web = nginx.start(options)
        for _, pid in ipairs(web:workers()) do
            signal.kill(pid, signal.SIGSTOP)
        end
        local workers = web:workers()
        signal.kill(web.process.pid, signal.SIGKILL)
        for _, pid in ipairs(workers) do
            signal.kill(pid, signal.SIGKILL)
        end
        web:await_end(workers)
        web:stop()
        web = nginx.start(options)
        all_there()
    end)

    -- nginx replaces its binary only where it is a daemon, and was started by its path.
    local function start_daemon()
        local conf = web.folder .. "/nginx.conf"
        run.write_file(conf, (run.read_file(conf):gsub("daemon off;", "daemon on;")))
        local program = run.run({ "sh", "-c", "command -v " .. run.nginx }):gsub("%s+$", "")
        local output, status = run.run({ program, "-p", web.folder, "-c", "nginx.conf", "-e",
                                         "error.log" },
                                       { cwd = web.folder, env = { TANDEM_LIBRARY = false,
                                         LUA_PATH = false, LUA_CPATH = false } })
        assert.are.equal(0, status, output)
    end

    local function has_ended(pid)
        local state = run.state_of(pid)
        return not state or state == "Z"
    end

    -- The pid of a master with its workers, other than old.
    local function await_master(old)
        local pid
        run.wait_until("there is a master with workers", function()
            pid = tonumber(run.read_file(web.folder .. "/nginx.pid") or "")
            return pid and pid ~= old and #run.children_of(pid) >= 2
        end, 20)
        run.finally(function()
            if not has_ended(pid) then
                signal.kill(pid, signal.SIGKILL)
            end
        end)
        return pid
    end

    it("in a file is kept over a binary upgrade", function()
        web = nginx.start({ init = opening 'memory = "4m", path = "$folder/segment"' })
        web:quit()
        start_daemon()
        local old = await_master()
        fill()
        signal.kill(old, signal.SIGUSR2)
        local new = await_master(old)
        -- Both answer, and share it, for as long as one likes.
        local answered = {}
        run.wait_until("old and new workers have answered", function()
            local parent = web:eval [[
                cache:set("shared", "value")
                return require("ngx.process").get_master_pid()
            ]]
            answered[tonumber(parent)] = true
            assert.are.equal(tostring(KEYS), web:eval(LOOK))
            return answered[old] and answered[new]
        end, 20)
        signal.kill(old, signal.SIGQUIT)
        run.wait_until("the old nginx has ended", function() return has_ended(old) end, 20)
        assert.are.equal(tostring(KEYS), web:eval(LOOK))
        assert.are.equal("'value'", web:eval "return (cache:get('shared'))")
        signal.kill(new, signal.SIGQUIT)
        run.wait_until("the new nginx has ended", function() return has_ended(new) end, 20)
        assert.are.same({}, web:problems())
    end)
end)
