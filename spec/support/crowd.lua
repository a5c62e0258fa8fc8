--- Processes of several hosts that work on one ledger without end, killed and started again by a
-- spec: whether all of them go on, and whether one has found something wrong.

local luassert = require "luassert"
local run = require "spec.support.run"

local STANDSTILL = 30 -- seconds in which every process that runs must have done something

local _M = {}
local Crowd = {}
Crowd.__index = Crowd

--- Starts size processes of script, which gets the path of the book (a ledger), its number, size,
-- its options, and the first and last number of its host's.
-- @param options_of a function of a number: options of tandem.new as text
-- @param workers of each host
function _M.start(script, path, book, size, workers, options_of)
    local self = setmetatable({ script = script, path = path, book = book, size = size,
                                workers = workers, options_of = options_of }, Crowd)
    for number = 0, size - 1 do
        self:start(number)
    end
    return self
end

--- The one of a number has process, and stopped, which is the spec's: it need do nothing.
function Crowd:start(number)
    local first = number - number % self.workers
    self[number] = {
        process = run.start_lua(("arg = { %q, %d, %d, %q, %d, %d } dofile(%q)"):format(self.path,
            number, self.size, self.options_of(number), first, first + self.workers - 1,
            run.root .. "/spec/support/" .. self.script)),
        count = 0, since = run.now(),
    }
end

--- Kills one, and starts it anew.
function Crowd:replace(number)
    self[number].process:kill()
    self[number].process:destroy()
    self:start(number)
end

--- Raises if one has ended, which it does when it has found something wrong, or stands still.
function Crowd:check()
    for number = 0, self.size - 1 do
        local one = self[number]
        if not one.process:alive() then
            error(one.process.how .. " " .. one.process.status .. ": " .. one.process:read_all())
        end
        local count = self.book:counted(number, 0)
        if count ~= one.count or one.stopped then
            one.count, one.since = count, run.now()
        elseif run.now() - one.since > STANDSTILL then
            error("process " .. number .. " stands still")
        end
    end
end

--- Left in peace, all go on; then nobody does anything any more.
function Crowd:finish()
    local before = {}
    for number = 0, self.size - 1 do
        before[number] = self.book:counted(number, 0)
    end
    run.wait_until("all go on", function()
        self:check()
        for number = 0, self.size - 1 do
            if self.book:counted(number, 0) < before[number] + 5 then
                return false
            end
        end
        return true
    end, 60)
    for number = 0, self.size - 1 do
        local process = self[number].process
        process:kill()
        luassert.are.equal("", process:read_all())
        process:destroy()
    end
end

--- What all of them have counted of a kind.
function Crowd:sum(which)
    local sum = 0
    for number = 0, self.size - 1 do
        sum = sum + self.book:counted(number, which)
    end
    return sum
end

return _M
