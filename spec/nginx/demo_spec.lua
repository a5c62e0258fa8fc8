--- The demo is a test of sorts: each of its steps checks what came of it.

local shell = require "spec.abi.shell"

local quote = shell.quote

local STEPS = {
    "1. Cold start", "2. Warm", "3. A second host", "4. Redis holds plain values",
    "5. ... and write them", "6. Redis hangs", "7. Redis dies", "8. Redis is started again",
}

-- Processes that name the folder on their command line, as all of the demo's servers do; the search
-- itself has other letters on its own.
local function processes_of(folder)
    return (shell.run("cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' ' | grep -o %s",
                      quote(folder .. "/[t]andem-demo")))
end

local function wait_until(seconds, what, fn)
    for _ = 1, seconds * 10 do
        if fn() then
            return
        end
        shell.must("sleep 0.1")
    end
    error("not within " .. seconds .. " s: " .. what, 2)
end

local function wait_until_gone(folder)
    wait_until(10, "all processes and files are gone", function()
        return processes_of(folder) == "" and shell.run("ls " .. quote(folder)) == ""
    end)
end

describe("the demo", function()
    local folder

    before_each(function()
        folder = shell.make_folder()
        shell.must("chmod 755 " .. quote(folder))
    end)

    after_each(function()
        shell.remove_folder(folder)
    end)

    -- Starts it in the background: its pid, and the file of its output and, in the end, its status.
    local function start(settings)
        local log, pid = folder .. "/log", folder .. "/pid"
        shell.must("mkdir %s/tmp; { env TMPDIR=%s/tmp %s examples/run-demo >%s 2>&1 & echo $! >%s;"
            .. " wait $!; echo status $? >>%s; } </dev/null >/dev/null 2>&1 &", quote(folder),
            quote(folder), settings, log, pid, log)
        wait_until(5, "a pid", function()
            return shell.run("cat " .. quote(pid)):find("%d")
        end)
        return tonumber(shell.read_file(pid)), log
    end

    local function wait_for_line(log, text)
        wait_until(60, text, function()
            local output = shell.read_file(log)
            assert.is_nil(output:find("The demo failed", 1, true), output)
            return output:find(text, 1, true)
        end)
    end

    it("tells its story, and leaves nothing behind", function()
        local output, status = shell.run("TMPDIR=%s DEMO_ONCE=1 examples/run-demo", quote(folder))
        assert.equal(0, status, output)
        local from = 1
        for _, title in ipairs(STEPS) do
            from = assert(output:find("\n" .. title, from, true), title .. " in\n" .. output)
        end
        assert.is_truthy(output:find("\n     rendered +%d+ "), output)
        assert.is_truthy(output:find("\n     memory +%d+ "), output)
        assert.is_truthy(output:find("\n     redis +%d+ "), output)
        assert.is_truthy(output:find("\n     stale +%d+ "), output)
        assert.is_truthy(output:find("\n     redis.state +up +up\n"), output)
        assert.is_truthy(output:find("\n     tracking.state +on +on\n"), output)
        wait_until_gone(folder)
    end)

    it("fails when a step does not come out as told", function()
        local real = shell.must("command -v redis-cli"):gsub("%s+$", "")
        shell.must("mkdir %s/bin", quote(folder))
        shell.write_file(folder .. "/bin/redis-cli", "#!/bin/sh\n"
            .. 'case "$3" in GET) echo something else ;; *) exec ' .. real .. ' "$@" ;; esac\n')
        shell.must("chmod 755 %s/bin/redis-cli", quote(folder))
        local output, status = shell.run("PATH=%s:$PATH TMPDIR=%s DEMO_ONCE=1 examples/run-demo",
                                         quote(folder .. "/bin"), quote(folder))
        assert.equal(1, status, output)
        assert.is_truthy(output:find("The demo failed: that is not what host B serves", 1, true),
                         output)
    end)

    it("says what is missing", function()
        local output, status = shell.run("TANDEM_NGINX=no-such-nginx examples/run-demo")
        assert.equal(1, status)
        assert.equal("examples/run-demo: no-such-nginx is not installed (make deps)\n", output)
    end)

    it("serves until it is asked to end", function()
        local pid, log = start("DEMO_ONCE=")
        wait_for_line(log, "Ctrl-C ends everything.")
        local url = shell.read_file(log):match("curl (http://[%d.:]+/stats)")
        wait_until(10, "the numbers", function() -- Redis may be found busy, and up a moment later
            return shell.must("curl -sf " .. url):find("\nredis.state up\n", 1, true)
        end)
        shell.must("kill -INT %d", pid)
        wait_for_line(log, "status 0")
        wait_until_gone(folder .. "/tmp")
    end)

    it("takes its servers along when it is killed", function()
        local pid, log = start("DEMO_ONCE=1")
        wait_for_line(log, "6. Redis hangs")
        assert.is_not_equal("", processes_of(folder .. "/tmp"))
        shell.must("kill -KILL %d", pid)
        wait_until_gone(folder .. "/tmp")
    end)
end)
