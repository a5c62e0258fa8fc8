local process = require "resty.tandem.host.process"

describe("the start time of a process", function()
    it("is what the kernel says, as the same digits each time", function()
        local pid = process.pid()
        local first = process.start_time(pid)
        assert.is_truthy(first:find("^[1-9]%d*$"), first)
        assert.are.equal(first, process.start_time(pid))

        -- Field 22, counted by somebody else.
        local awk = io.popen("awk '{ sub(/^.*\\) /, \"\"); print $20 }' /proc/" .. pid .. "/stat")
        assert.are.equal(awk:read("*l"), first)
        awk:close()
    end)

    it("is found behind a name of any bytes", function()
        local first = process.start_time(process.pid())
        local function rename(name)
            local file = assert(io.open("/proc/self/comm", "w"))
            file:write(name)
            file:close()
        end
        local name = assert(io.open("/proc/self/comm", "r")):read("*l")
        finally(function() rename(name) end)
        rename("a) S 1\n(b) 2")
        assert.are.equal(first, process.start_time(process.pid()))
    end)

    it("is 0 for a process that there is not", function()
        assert.are.equal("0", process.start_time(2 ^ 30))
    end)
end)
