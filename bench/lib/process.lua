--- Programs that run beside a suite.  They stay in bench/run's group of processes, so that they end
-- with it, however it ends.

local files = require "lib.files"

local PATIENCE, STEP = 10, 0.02 -- seconds

local running = {} -- pid -> process

local _M = {}

-- One that has ended may stay for a while, as a zombie, until init has looked.
local function is_alive(process)
    local stat = files.read("/proc/" .. process.pid .. "/stat")
    return stat and not stat:find("%) [ZX]")
end

-- Asks again and again, for so long as somebody has patience.
local function await(fn)
    for _ = 1, PATIENCE / STEP do
        local value = fn()
        if value then
            return value
        end
        os.execute("sleep " .. STEP)
    end
end

--- Starts one.
-- @param folder where NAME.output goes, what it says, and NAME.pid
-- @param name
-- @param format the command, as for string.format: a program and its arguments
-- @return { pid =, name =, output = path }
function _M.start(folder, name, format, ...)
    local path = folder .. "/" .. name
    os.execute(("%s >%s.output 2>&1 & echo $! >%s.pid"):format(format:format(...), path, path))
    local process = { pid = tonumber(files.read(path .. ".pid")), name = name,
                      output = path .. ".output" }
    running[process.pid] = process
    return process
end

--- Waits until it is ready.
-- @param ready a function of nothing, that returns nil or false until it is
-- @return what ready returns; raises what the program has said when it ends before, or takes long
function _M.await(process, ready)
    local value = await(function() return ready() or not is_alive(process) and "ended" end)
    if value and value ~= "ended" then
        return value
    end
    error(("%s does not start: %s"):format(process.name, files.read(process.output)), 0)
end

--- Ends it, and waits until it has.
-- @param signal "TERM", or what else asks that program to end
function _M.stop(process, signal)
    running[process.pid] = nil
    os.execute(("kill -%s %d 2>/dev/null"):format(signal or "TERM", process.pid))
    if not await(function() return not is_alive(process) end) then
        os.execute(("kill -KILL %d 2>/dev/null"):format(process.pid))
    end
end

--- Ends all that run.
function _M.stop_all()
    for _, process in pairs(running) do
        _M.stop(process)
    end
end

return _M
