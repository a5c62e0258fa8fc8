-- What the specs themselves rely on.

local redis = require "spec.support.redis"
local run = require "spec.support.run"
local secrets = require "spec.support.secrets"
local stat = require "posix.sys.stat"

local function is_gone(pid)
    local state = run.state_of(pid)
    return state == nil or state == "Z"
end

describe("a run of specs that is killed", function()
    teardown(run.cleanup)

    it("leaves no process and no folder behind", function()
        local victim = run.start_lua([[
            local run = require "spec.support.run"
            local nginx = require "spec.support.nginx"
            local redis = require "spec.support.redis"
            local server, web = redis.start(), nginx.start({})
            local shell = run.start({ "sh", "-c", "sleep 1000 & sleep 1000" })
            local pids = { server.process.pid, web.process.pid, shell.pid }
            run.wait_until("the shell has a child", function()
                return #run.children_of(shell.pid) == 2
            end)
            for _, parent in ipairs({ web.process.pid, shell.pid }) do
                for _, pid in ipairs(run.children_of(parent)) do
                    pids[#pids + 1] = pid
                end
            end
            print(table.concat(pids, " "))
            print(server.folder)
            print(web.folder)
            io.stdout:flush()
            while true do
                run.nap(1000)
            end
        ]])
        local pids = {}
        for pid in victim:read_line():gmatch("%d+") do
            pids[#pids + 1] = tonumber(pid)
            assert.is_false(is_gone(tonumber(pid)))
        end
        assert.are.equal(7, #pids)
        local folders = { victim:read_line(), victim:read_line() }
        assert.is_truthy(stat.stat(folders[2]))
        victim:kill()
        for _, pid in ipairs(pids) do
            run.wait_until("process " .. pid .. " ends", function() return is_gone(pid) end)
        end
        for _, folder in ipairs(folders) do
            run.wait_until(folder .. " is removed", function() return not stat.stat(folder) end)
        end
    end)
end)

describe("a password", function()
    teardown(run.cleanup)

    it("that is left in a file is found, and the folder is gone all the same", function()
        local folder = run.temp_dir()
        run.write_file(folder .. "/nginx.conf", "the password is " .. secrets.WORD)
        assert.are.equal("", secrets.files_with(folder))
        run.write_file(folder .. "/error.log", "\0\255" .. secrets.WORD .. "!")
        local ok, err = pcall(run.cleanup)
        assert.is_false(ok)
        assert.is_truthy(err:find(folder .. "/error.log", 1, true), err)
        assert.is_nil(stat.stat(folder))
    end)

    it("without the word that is looked for cannot be given to a Redis", function()
        local server = redis.start()
        for _, words in ipairs({ { "ACL", "SETUSER", "app", "on", ">other" },
                                 { "CONFIG", "SET", "requirepass", "other" } }) do
            assert.is_false((pcall(server.call, server, unpack(words))))
        end
        assert.is_false((pcall(redis.start, { password = "other" })))
    end)

    it("in a title is found", function()
        assert.is_false((pcall(secrets.check_shown, "nginx: " .. secrets.WORD)))
    end)
end)

describe("MONITOR's lines", function()
    teardown(run.cleanup)

    it("are understood, whatever is in them", function()
        local server = redis.start()
        local monitor = server:monitor()
        local bytes = {}
        for i = 0, 255 do
            bytes[#bytes + 1] = string.char(i)
        end
        bytes = table.concat(bytes)
        server:call("SET", bytes, '\\" "\\\\x41" \\n')
        server:call("GET", "")
        local commands = monitor:commands()
        assert.are.equal(2, #commands)
        assert.are.same({ "SET", bytes, '\\" "\\\\x41" \\n' }, { unpack(commands[1]) })
        assert.are.same({ "GET", "" }, { unpack(commands[2]) })
        assert.are.equal(0, #monitor:commands())
    end)
end)
