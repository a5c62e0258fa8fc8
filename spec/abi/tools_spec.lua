-- What the other tests stand on: the C harness sees every kind of failure, the runner counts it,
-- and the check of includes finds what it forbids.
local shell = require "spec.abi.shell"

local PROGRAM = [[
#include "check.h"

TEST(holds)
{
    CHECK_INT(4, 2 + 2);
    CHECK_STR("text", "text");
    CHECK_MEM("bytes", "bytes", 5);
}

TEST(checks)
{
    CHECK(1 > 2);
    CHECK_INT(4, 2 + 3);
    CHECK_STR("text", NULL);
    CHECK_MEM("bytes", "bites", 5);
}

TEST(child)
{
    pid_t child = fork();
    if (child == 0) {
        CHECK(getpid() == 1);
        _exit(0);
    }
    waitpid(child, NULL, 0);
}

TEST(required)
{
    REQUIRE(getpid() == 1);
    puts("not reached");
}

TEST(crash)
{
    raise(SIGSEGV);
}

TEST(status)
{
    exit(3);
}

TEST(endless)
{
    if (fork() == 0) {
        printf("left behind: %d\n", (int)getpid());
        fflush(stdout);
        for (;;)
            pause();
    }
    check_timeout(1);
    for (;;)
        pause();
}

CHECK_MAIN()
]]

describe("the C test harness", function()
    local folder

    before_each(function() folder = shell.make_folder() end)
    after_each(function() shell.remove_folder(folder) end)

    local function build()
        shell.write_file(folder .. "/some_test.c", PROGRAM)
        shell.must("cc -std=c11 -D_GNU_SOURCE -Ic/test -o %s/some_test %s/some_test.c", folder,
            folder)
    end

    local function has(output, part)
        assert.truthy(output:find(part, 1, true), output)
    end

    it("reports every kind of failure and goes on", function()
        build()
        local output, status = shell.run("%s/some_test", folder)
        local file = folder .. "/some_test.c"
        assert.equal(1, status)
        has(output, file .. ":12: checks: 1 > 2 does not hold\n")
        has(output, file .. ":13: checks: 2 + 3: expected 4, got 5\n")
        has(output, file .. ':14: checks: NULL: expected "text", got "(NULL)"\n')
        has(output, file .. ':15: checks: "bites": byte 1 of 5: expected 0x79, got 0x69\n')
        has(output, file .. ":22: child: getpid() == 1 does not hold\n")
        has(output, file .. ":30: required: getpid() == 1 does not hold\n")
        has(output, file .. ": crash: died of signal 11\n")
        has(output, file .. ": status: ended with status 3\n")
        has(output, file .. ": endless: timed out\n")
        assert.falsy(output:find("not reached", 1, true), output)
        assert.equal(file .. ": 1 passed, 6 failed\n", output:match("[^\n]*\n$"))

        -- Nothing stays behind: gone, or dead and not yet collected by the system.
        local pid = output:match("left behind: (%d+)")
        local state = shell.run("sed -n 's/^State:[^A-Z]*\\(.\\).*/\\1/p' /proc/%s/status", pid)
        assert.truthy(state:find("^Z") or state:find("No such file", 1, true), state)
    end)

    it("runs the tests that are asked for, and fails when there is none", function()
        build()
        local output, status = shell.run("%s/some_test holds", folder)
        assert.equal(folder .. "/some_test.c: 1 passed, 0 failed\n", output)
        assert.equal(0, status)
        output, status = shell.run("%s/some_test nothing", folder)
        assert.equal(folder .. "/some_test.c: 0 passed, 0 failed\n", output)
        assert.equal(1, status)
    end)

    it("is counted by tools/test-unit, dead programs as failures", function()
        build()
        shell.write_file(folder .. "/silent", "#!/bin/sh\nexit 0\n")
        shell.write_file(folder .. "/dead", "#!/bin/sh\necho 'x: 5 passed, 0 failed'\nkill -9 $$\n")
        shell.write_file(folder .. "/reported", "#!/bin/sh\n"
            .. "echo 'SUMMARY: ThreadSanitizer: data race'\necho 'x: 2 passed, 0 failed'\n")
        shell.must("cd %s && chmod +x silent dead reported", folder)
        local output, status = shell.run("TANDEM_RESULTS=%s/results TANDEM_FAILURES=%s/failures"
            .. " tools/test-unit %s/some_test %s/silent %s/dead %s/reported", folder, folder,
            folder, folder, folder, folder)
        assert.equal(1, status)
        assert.equal("C tests: 8 passed, 9 failed\n", output:match("[^\n]*\n$"))
        assert.equal("unit 8 9\n", shell.read_file(folder .. "/results"))
        local failures = shell.read_file(folder .. "/failures")
        for _, name in ipairs { "some_test", "silent", "dead", "reported" } do
            assert.truthy(failures:find("-- " .. folder .. "/" .. name .. "\n", 1, true), failures)
        end
    end)
end)

describe("tools/layers", function()
    local folder

    before_each(function()
        folder = shell.make_folder()
        shell.must("mkdir %s/base %s/memory %s/redis %s/tier", folder, folder, folder, folder)
    end)
    after_each(function() shell.remove_folder(folder) end)

    local function check(file, line)
        shell.write_file(folder .. "/" .. file, "/* one */\n" .. line .. "\n")
        local output, status = shell.run("tools/layers %s", folder)
        os.remove(folder .. "/" .. file)
        return status == 0 or output:gsub("^.*/" .. file:gsub("%p", "%%%0"), "")
    end

    it("accepts what goes down", function()
        for file, line in pairs {
            ["memory/index.c"] = '#include "memory/layout.h"\n#include "base/hash.h"',
            ["redis/conn.c"] = "#include <hiredis/hiredis.h>",
            ["tier/read.c"] = '#include "memory/memory.h"\n#include "redis/redis.h"',
            ["memory/lock.c"] = "pthread_mutex_lock(&shard->lock);",
            ["memory/memory.c"] = "pthread_mutex_lock(&registry);",
            ["base/alloc.c"] = "return malloc(size);",
            ["base/clock.c"] = "clock_gettime(CLOCK_MONOTONIC, &t);",
            ["api.c"] = '#include "tier/tier.h"',
        } do
            assert.is_true(check(file, line), file)
        end
    end)

    it("names the line that does not", function()
        for file, line in pairs {
            ["base/hash.h"] = '#include "memory/memory.h"',
            ["memory/index.c"] = '#include "redis/redis.h"',
            ["memory/walk.c"] = '# include "tier/tier.h"',
            ["redis/queue.c"] = '#include "memory/memory.h"',
            ["tier/fill.c"] = '#include "memory/index.h"',
            ["tier/write.c"] = "#include <hiredis/hiredis.h>",
            ["memory/vlog.c"] = "pthread_mutex_unlock(&shard->lock);",
            ["redis/url.c"] = "char *copy = strdup(text);",
            ["tier/read.c"] = "clock_gettime(CLOCK_REALTIME, &t);",
        } do
            assert.equal(":2:" .. line .. "\n", (check(file, line)), file)
        end
        assert.equal(": tools/layers has no rule for this room\n", (check("other.c", "int x;")))
    end)
end)

describe("tools/matrix", function()
    it("says what it lacks, and which rows there are not", function()
        local folder = shell.make_folder()
        finally(function() shell.remove_folder(folder) end)
        local function says(sentence, wanted_status, settings, row)
            local output, status = shell.run("MATRIX_FOLDER=%s/trees %s tools/matrix %s", folder,
                settings, row)
            assert.equal("tools/matrix: " .. sentence .. "\n", output)
            assert.equal(wanted_status, status)
            assert.equal(0, select(2, shell.run("! test -e %s/trees", folder)))
        end
        local function answer(program, line)
            shell.write_file(folder .. "/" .. program, "#!/bin/sh\n" .. line .. "\n")
            shell.must("chmod 755 %s/%s", folder, program)
        end
        local path = "PATH=" .. folder .. ":$PATH"
        says("there is no row debian-3", 2, "", "debian-12 debian-3")
        answer("id", "echo 1000")
        says("this needs root, to make trees of other systems", 1, path, "")
        answer("id", "echo 0")
        for _, program in ipairs({ "dirname", "sh" }) do
            shell.must("ln -s $(command -v %s) %s/%s", program, folder, program)
        end
        says("debootstrap is not installed (make deps-dev)", 1, "PATH=" .. folder, "")
        for _, program in ipairs({ "debootstrap", "unshare", "chroot", "apt-get" }) do
            answer(program, "exit 0")
        end
        says("apt-get has no mirror of Debian here: say which with DEBIAN_MIRROR=http://...", 1,
             path, "")
    end)
end)

describe("tools/soak and tools/fuzz", function()
    local folder

    before_each(function() folder = shell.make_folder() end)
    after_each(function() shell.remove_folder(folder) end)

    local FUZZ, SOAK = "tools/fuzz 60 spec/fuzz/codec_fuzz.lua", "tools/soak 60"

    it("say how they are used", function()
        for _, tool in ipairs({ "tools/fuzz", "tools/fuzz x", "tools/soak", "tools/soak x" }) do
            local output, status = shell.run(tool)
            assert.truthy(output:find("^usage: tools/"), output)
            assert.equal(2, status)
        end
    end)

    it("say that there is no room, and leave nothing behind", function()
        local _, status = shell.run("mount -t tmpfs -o size=4k tmpfs %s", folder)
        if status ~= 0 then
            return -- nobody but root may mount
        end
        finally(function() shell.must("umount -l %s", folder) end)
        shell.run("head -c 65536 /dev/zero >%s/full", folder)
        for _, tool in ipairs({ FUZZ:gsub("60", "1"), SOAK }) do
            local output
            output, status = shell.run("TMPDIR=%s timeout 60 %s", folder, tool)
            assert.truthy(output:find("there is no room in " .. folder, 1, true), output)
            assert.equal(1, status)
            assert.equal("full\n", (shell.run("ls %s", folder)))
        end
    end)

    -- begun: a file in the folder by which one sees that it runs.
    local function check_end(tool, begun, signal)
        local output, status = shell.run([[
            TMPDIR=%s %s >/dev/null 2>&1 &
            pid=$! n=0
            while ! ls %s/%s && [ $n -lt 600 ]; do sleep 0.05; n=$((n + 1)); done >/dev/null 2>&1
            kill -%s $pid
            wait $pid
            echo "ended with $?"
            n=0
            while [ "$(ls %s)" ] && [ $n -lt 600 ]; do sleep 0.05; n=$((n + 1)); done
            ls %s
            pgrep -a 'luajit|nginx|redis|valkey' | grep -F %s]],
                folder, tool, folder, begun, signal, folder, folder, folder)
        assert.equal(1, status, output) -- there is no such process
        assert.equal("ended with 143\n", output)
    end

    it("end all that they have started when they are stopped", function()
        check_end(FUZZ, "tmp.*", "TERM")
        check_end(SOAK, "tandem-spec-*/nginx.pid", "TERM")
    end)
end)
