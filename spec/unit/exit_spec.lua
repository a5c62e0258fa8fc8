-- The end of a Lua VM, seen from outside.

local LUAJIT = os.getenv("LUAJIT") or "luajit"

-- Runs a chunk in a process of its own.  Returns what it printed, then its exit status.
local function run(chunk)
    local file = os.tmpname()
    local out = assert(io.open(file, "w"))
    out:write(("package.path, package.cpath = %q, %q\n"):format(package.path, package.cpath), chunk)
    out:close()
    local pipe = io.popen(("%s %s 2>&1; echo $?"):format(LUAJIT, file))
    local printed = pipe:read("*a")
    pipe:close()
    os.remove(file)
    return printed
end

describe("the end of a Lua VM", function()
    it("comes before the __gc of userdata that use the cache", function()
        assert.are.equal("in time value\nlate false\n0\n", run [[
            local tandem = require "resty.tandem"
            local cache = assert(tandem.new("exit", { memory = "1m" }))
            cache:set("key", "value")
            getmetatable(newproxy(true)).__gc = function() print("in time " .. cache:get("key")) end
            collectgarbage()
            KEPT = newproxy(true)
            getmetatable(KEPT).__gc = function()
                print("late " .. tostring((pcall(cache.get, cache, "key"))))
            end
        ]])
    end)

    it("finds caches open, closed and forgotten", function()
        assert.are.equal("done\n0\n", run [[
            local tandem = require "resty.tandem"
            A = assert(tandem.new("open", { memory = "1m", redis = "redis://127.0.0.1:1" }))
            A:set("key", "value")
            assert(tandem.new("closed", { memory = "1m" })):close()
            for i = 1, 10 do
                assert(tandem.new("forgotten" .. i, { memory = "1m" })):set("key", "value")
            end
            collectgarbage()
            print("done")
        ]])
    end)

    it("comes with os.exit, too, with and without closing the VM", function()
        for _, how in ipairs({ "0", "0, true" }) do
            assert.are.equal("done\n0\n", run([[
                local tandem = require "resty.tandem"
                A = assert(tandem.new("exit", { memory = "1m", redis = "redis://127.0.0.1:1" }))
                A:get("key")
                io.write("done\n")
                io.stdout:flush()
                os.exit(]] .. how .. ")"))
        end
    end)
end)
