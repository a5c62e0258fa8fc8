--- Things to be done at some time from now.
-- @return later(seconds, fn), and due(all), which does what is due, or all of it

local run = require "spec.support.run"

return function()
    local waiting = {}
    local function later(seconds, fn)
        waiting[#waiting + 1] = { at = run.now() + seconds, fn = fn }
    end
    local function due(all)
        for i = #waiting, 1, -1 do
            if all or run.now() >= waiting[i].at then
                table.remove(waiting, i).fn()
            end
        end
    end
    return later, due
end
