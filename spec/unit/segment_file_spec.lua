-- A cache with `path`: shared by unrelated processes, and what is refused there.

local caches = require "spec.support.caches"
local run = require "spec.support.run"
local show = require "spec.support.show"
local stat = require "posix.sys.stat"
local tandem = require "resty.tandem"
local unistd = require "posix.unistd"

describe("a segment in a file", function()
    local folder, path

    before_each(function()
        folder = run.temp_dir()
        path = folder .. "/segment"
    end)
    after_each(run.cleanup)

    -- What another process gets to see: the text returns something.
    local function elsewhere(text, options)
        return (run.lua(([[
            local cache = assert(require("resty.tandem").new("file", { memory = "1m", path = %q }))
            print(require("spec.support.show")((function() %s end)()))
        ]]):format(path, text), options):gsub("\n$", ""))
    end

    local function open(options)
        options = options or {}
        options.memory, options.path = options.memory or "1m", options.path or path
        return caches.open(options, "file")
    end

    local function refused(options)
        options = options or {}
        options.memory, options.path = options.memory or "1m", options.path or path
        local cache, err = tandem.new(options.name or "file",
                                      { memory = options.memory, path = options.path })
        assert.is_nil(cache)
        assert.is_string(err)
        return err
    end

    it("has mode 0600", function()
        open()
        assert.are.equal(tonumber("600", 8), stat.stat(path).st_mode % 512)
    end)

    it("is shared by unrelated processes, both ways", function()
        local cache = open()
        cache:set("ours", "1", 100)
        assert.are.equal("'1' nil 'memory'", elsewhere("return cache:get('ours')"))
        elsewhere("return cache:set('theirs', '2')")
        assert.are.equal("'2' nil 'memory'", show(cache:get("theirs")))
        elsewhere("return cache:delete('ours')")
        assert.are.equal("nil nil nil", show(cache:get("ours")))
        elsewhere("return cache:clear()")
        assert.are.equal("{}", show(cache:keys()))
    end)

    it("survives its users, TTLs included", function()
        elsewhere("return cache:set('key', 'value', 50), cache:set('short', 'value', 0.001)")
        assert.are.equal("'value' nil 'memory'", elsewhere("return cache:get('key')"))
        local left = tonumber(elsewhere("return cache:ttl('key')"))
        assert.is_true(left > 40 and left <= 50)
        assert.are.equal("nil nil nil", elsewhere("return cache:get('short')"))
    end)

    it("is seen to change in a loop that LuaJIT has compiled", function()
        local cache = open()
        cache:set("key", "old")
        local child = run.start_lua(([[
            local cache = assert(require("resty.tandem").new("file", { memory = "1m", path = %q }))
            print(cache:get("key"))
            io.stdout:flush()
            local n, value = 0
            repeat
                value = cache:get("key")
                n = n + 1
            until value ~= "old"
            print(value, n > 1000)
        ]]):format(path))
        assert.are.equal("old\tnil\tmemory", child:read_line())
        -- Long enough for the loop to be compiled.
        local spins = run.now()
        run.wait_until("it has spun", function() return run.now() - spins > 0.1 end)
        cache:set("key", "new")
        assert.are.equal("new\ttrue", child:read_line())
    end)

    it("that is cut short is refused, and left alone", function()
        elsewhere("return cache:set('key', 'value')")
        for _, size in ipairs({ 0, 1, 4096, 1048575 }) do
            local file = assert(io.open(path, "rb"))
            local content = file:read("*a")
            file:close()
            run.write_file(path .. ".short", content:sub(1, size))
            local err = refused({ path = path .. ".short" })
            assert.is_truthy(err:find(path .. ".short", 1, true), err)
            assert.are.equal(size, stat.stat(path .. ".short").st_size)
        end
    end)

    it("that is somebody else's file is refused, and left alone", function()
        local content = ("precious data\n"):rep(100000)
        run.write_file(path, content)
        local err = refused()
        assert.is_truthy(err:find(path, 1, true), err)
        assert.is_true(run.read_file(path) == content)
        unistd.unlink(path)

        assert(stat.mkdir(path, 493))
        err = refused()
        assert.is_truthy(err:find(path, 1, true), err)
        unistd.rmdir(path)

        unistd.link("/dev/null", path, true)
        err = refused()
        assert.is_truthy(err:find(path, 1, true), err)
        unistd.unlink(path)

        assert(stat.mkfifo(path, 420))
        err = refused()
        assert.is_truthy(err:find(path, 1, true), err)
    end)

    it("that is another cache's is refused by name", function()
        elsewhere("return cache:set('key', 'value')")
        local err = refused({ name = "other" })
        assert.is_truthy(err:find(path, 1, true), err)
        assert.is_truthy(err:find("file", 1, true), err)
        err = refused({ memory = "2m" })
        assert.is_truthy(err:find(path, 1, true), err)
        assert.are.equal("'value' nil 'memory'", elsewhere("return cache:get('key')"))
    end)

    it("of another layout is replaced", function()
        elsewhere("return cache:set('key', 'value')")
        -- The fingerprint follows the magic; any other one will do.
        local content = run.read_file(path)
        local at = assert(content:find("%d", 9), "a fingerprint without digits")
        run.write_file(path, content:sub(1, at - 1) .. "x" .. content:sub(at + 1))
        local inode = stat.stat(path).st_ino
        assert.are.equal("nil nil nil", elsewhere("return cache:get('key')"))
        assert.are_not.equal(inode, stat.stat(path).st_ino)
        elsewhere("return cache:set('key', 'new')")
        assert.are.equal("'new' nil 'memory'", elsewhere("return cache:get('key')"))
        assert.are.same({ path }, run.list_tree(folder)) -- and nothing lies about
    end)

    it("with nonsense where its values are crashes nobody", function()
        elsewhere("for i = 1, 3000 do cache:set('key' .. i, ('x'):rep(i % 700)) end")
        local content = run.read_file(path)
        math.randomseed(tonumber(os.getenv("TANDEM_SEED")) or 42)
        for _ = 1, 5 do
            local half = #content / 2
            local parts = { content:sub(1, half) }
            for at = half + 1, #content, 4096 do
                local page = content:sub(at, at + 4095)
                if math.random(4) == 1 then
                    local bytes = {}
                    for i = 1, 4096 do
                        bytes[i] = string.char(math.random(0, 255))
                    end
                    page = table.concat(bytes)
                end
                parts[#parts + 1] = page
            end
            run.write_file(path, table.concat(parts))
            -- What comes of it is anybody's guess; that the process ends by itself is not.
            local process = run.start_lua(([[
                local cache, err = require("resty.tandem").new("file", { memory = "1m", path = %q })
                if cache then
                    for i = 1, 3000 do
                        cache:get("key" .. i)
                        cache:set("other" .. i, ("y"):rep(i %% 500))
                    end
                    cache:keys()
                    cache:cleanup_expired()
                    cache:clear()
                end
                print("done")
            ]]):format(path))
            local output = process:read_all()
            local how, status = process:wait()
            assert.are.equal("exited 0", how .. " " .. status .. output:gsub("^done\n$", ""))
        end
    end)

    -- Whatever was not being written at that moment is there, whole: who opens the file finds the
    -- locks of the dead, and empties their shards only.
    it("over which all its users were killed loses the shards they wrote to at most", function()
        local WRITERS, KEYS, ROUNDS = 4, 2000, 8
        local cache = open({ memory = "4m" })
        for i = 1, KEYS do
            assert(cache:set("kept" .. i, ("kept" .. i):rep(5)))
        end
        local shards, lost = cache:stats().memory.shards, 0
        cache:close()
        for round = 1, ROUNDS do
            local writers = {}
            for i = 1, WRITERS do
                writers[i] = run.start_lua(([[
                    local options = { memory = "4m", path = %q }
                    local cache = assert(require("resty.tandem").new("file", options))
                    print("begins")
                    io.stdout:flush()
                    local n = 0
                    while true do
                        n = n + 1
                        local key = "key" .. n %% 1000
                        cache:set(key, (key .. ":"):rep(n %% 50 + 1))
                    end
                ]]):format(path))
                assert.are.equal("begins", writers[i]:read_line())
            end
            run.nap(math.random(1, 20))
            for i = 1, WRITERS do
                writers[i]:signal("KILL")
            end
            for i = 1, WRITERS do
                writers[i]:wait()
            end
            cache = open({ memory = "4m" })
            for i = 0, 999 do
                local value = cache:get("key" .. i)
                assert.is_true(value == nil or value:gsub("key" .. i .. ":", "") == "", value)
                assert.are.equal("true", show(cache:set("key" .. i, "mine")))
                assert.are.equal("'mine'", show((cache:get("key" .. i))))
            end
            local there = 0
            for i = 1, KEYS do
                local value = cache:get("kept" .. i)
                assert.is_true(value == nil or value == ("kept" .. i):rep(5), value)
                there = there + (value and 1 or 0)
                cache:set("kept" .. i, ("kept" .. i):rep(5))
            end
            local memory = cache:stats().memory
            local emptied = memory.resets - lost
            lost = memory.resets
            -- Keys are spread over the shards; a third more of them in one is a lot.
            assert.is_true(emptied <= WRITERS, emptied .. " in round " .. round)
            assert.is_true(KEYS - there <= emptied * KEYS / shards * 1.5,
                           KEYS - there .. " of " .. emptied)
            assert.are.equal(0, memory.evictions)
            cache:close()
        end
    end)

    it("without permission, or without a folder, is an error that says so", function()
        local err = refused({ path = folder .. "/no/such/folder" })
        assert.is_truthy(err:find(folder .. "/no/such/folder", 1, true), err)
        assert.is_truthy(err:find("No such file", 1, true), err)
        err = refused({ path = "/proc/tandem" })
        assert.is_truthy(err:find("/proc/tandem", 1, true), err)
        err = refused({ path = folder .. "/" .. ("x"):rep(300) })
        assert.is_truthy(err:find("too long", 1, true), err)
    end)

    it("of another user is an error that says so", function()
        if unistd.geteuid() ~= 0 then
            -- Only root can leave a file that the next user may not open.
            run.write_file(path, "")
            stat.chmod(path, 0)
            assert.is_truthy(refused():find("Permission denied", 1, true))
            return
        end
        elsewhere("return cache:set('key', 'value')")
        run.copy_tree(run.root .. "/lua", folder .. "/lua")
        run.copy_tree(run.root .. "/build/libtandem.so", folder .. "/libtandem.so")
        local output = run.run({ run.luajit, "-e", ([[
            local ffi = require "ffi"
            ffi.cdef "int setgid(unsigned id); int setuid(unsigned id);"
            assert(ffi.C.setgid(65534) == 0 and ffi.C.setuid(65534) == 0)
            package.path, package.cpath = %q, %q
            print(require("resty.tandem").new("file", { memory = "1m", path = %q }))
        ]]):format(folder .. "/lua/?.lua", folder .. "/?.so", path) })
        assert.is_truthy(output:find("^nil\t"), output)
        assert.is_truthy(output:find(path, 1, true), output)
        assert.is_truthy(output:find("Permission denied", 1, true), output)
    end)

    it("on a full disk is an error that says so, and leaves nothing behind", function()
        local _, status = run.run({ "mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", folder })
        if status ~= 0 then
            -- Nobody but root may mount; a device that is always full says the same by other means.
            local err = refused({ path = "/dev/full/segment" })
            assert.is_truthy(err:find("/dev/full/segment", 1, true), err)
            return
        end
        run.finally(function() run.run({ "umount", "-l", folder }) end)
        local err = refused()
        assert.is_truthy(err:find(path, 1, true), err)
        assert.is_truthy(err:find("No space left", 1, true), err)
        assert.are.same({}, run.list_tree(folder))
    end)
end)
