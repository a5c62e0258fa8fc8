-- bench/run when something is in its way: it says so, and leaves nothing behind.
local shell = require "spec.abi.shell"

describe("bench/run", function()
    local folder

    before_each(function() folder = shell.make_folder() end)
    after_each(function() shell.remove_folder(folder) end)

    local function run(before, suites)
        return shell.run("TMPDIR=%s BENCH_OUTPUT=%s BENCH_QUICK=1 %s bench/run %s", folder,
                         folder .. "/output", before, suites)
    end

    local function says(expected, text)
        assert.is_truthy(text:find(expected, 1, true), text)
    end

    -- Lua text with what suites use.
    local function lua(before, text)
        shell.write_file(folder .. "/script.lua", ([[
            package.path = "bench/?.lua;lua/?.lua;" .. package.path
            local context = { bench = %q, scratch = %q }
        ]]):format(shell.root .. "/bench", folder) .. text)
        return shell.run("%s %s %s", before, shell.luajit, folder .. "/script.lua")
    end

    -- Servers that were started: their command lines name their folder.
    local function servers()
        local there = {}
        for pid in shell.run("ls /proc"):gmatch("%d+") do
            local file = io.open("/proc/" .. pid .. "/cmdline")
            local line = file and file:read("*a") or ""
            if line:find("^nginx.*" .. folder) or line:find("^redis.*" .. folder) then
                there[#there + 1] = line
            end
            if file then
                file:close()
            end
        end
        return there
    end

    it("names the suites there are", function()
        local text, status = run("", "operation")
        says("there is no suite operation; there are operations, ", text)
        assert.are.equal(2, status)
    end)

    it("leaves out what needs programs that are not installed, and says which", function()
        shell.must("mkdir %s/bin && cd %s/bin && for p in sh dirname mktemp mkdir rm seq sleep "
                   .. "kill setsid cat sed awk nproc uname %s; do ln -s $(command -v $p) .; done",
                   folder, folder, shell.luajit)
        local path = "PATH=" .. folder .. "/bin LUAJIT=" .. shell.luajit
        local text, status = run(path, "hits fleet")
        says("valgrind is not installed: as root, bench/deps installs it", text)
        says("0 targets held, 0 short; of the suites 2 skipped, 0 failed", text)
        assert.are.equal(0, status)
    end)

    it("has one core do what one can", function()
        says("there is one core", (run("taskset -c 0", "processes")))
    end)

    it("ends all that it has started when it is interrupted", function()
        -- As a terminal does, to all of its group, which does not ignore it.
        shell.write_file(folder .. "/script", [[
            set -m
            TMPDIR=$1 BENCH_OUTPUT=$1/output bench/run fleet >$1/said 2>&1 &
            for _ in $(seq 500); do
                [ ! -S $1/tandem-bench.*/host3/http.sock ] || break
                sleep 0.02
            done
            ls $1/tandem-bench.*/host3/http.sock $1/tandem-bench.*/redis.sock
            kill -INT -$!
            wait $!
            echo ended with $?
        ]])
        local text = shell.run("bash %s/script %s", folder, folder)
        says("host3/http.sock\n", text)
        says("redis.sock\n", text)
        says("ended with 130\n", text)
        assert.are.same({}, servers())
        assert.is_nil(shell.run("ls %s", folder):find("tandem-bench", 1, true))
    end)

    it("keeps what was there when the disk is full", function()
        shell.write_file(folder .. "/results.json", "old")
        local text = lua("trap '' XFSZ; ulimit -f 1;", [[
            local ok, err = pcall(require("lib.files").write, context.scratch .. "/results.json",
                                  ("x"):rep(100000))
            print(ok, err)
        ]])
        says("results.json cannot be written: File too large", text)
        assert.are.equal("old", shell.read_file(folder .. "/results.json"))
        assert.is_nil(shell.run("ls %s", folder):find("results.json.new", 1, true))
    end)

    it("says what a program has said that does not start, as where its port is busy", function()
        local text = lua("", [[
            local host, port = require "lib.host", require("lib.ports").free()
            local options = { workers = 1, init = "", server = "", port = port }
            host.start(context, "first", options)
            print(pcall(host.start, context, "second", options))
            require("lib.process").stop_all()
        ]])
        says("nginx does not start: ", text)
        says("(98: Address already in use)", text)
        assert.are.same({}, servers())
    end)
end)
