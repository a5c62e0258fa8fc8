--- Which lines of Lua are run.  As LUA_INIT it notes them, and appends "file:line" to the file
-- named by COVERAGE when the process ends:
--
--   COVERAGE=lines LUA_INIT=@tools/coverage.lua busted ...
--
-- With arguments it says how many there are of those that could be:
--
--   luajit tools/coverage.lua LINES FILE...

-- The lines of a function and of those in it that have code.
local function active(proto, lines)
    local util = require "jit.util"
    local info = util.funcinfo(proto)
    for pc = 1, info.bytecodes - 1 do
        lines[util.funcinfo(proto, pc).currentline] = true
    end
    for i = -1, -info.gcconsts, -1 do
        local inner = util.funck(proto, i)
        if type(inner) == "proto" then
            active(inner, lines)
        end
    end
    return lines
end

local function report(path, files)
    local run = {}
    for line in io.lines(path) do
        run[line] = true
    end
    local all, all_run = 0, 0
    for _, file in ipairs(files) do
        local n, n_run = 0, 0
        for line in pairs(active(assert(loadfile(file)), {})) do
            n = n + 1
            n_run = n_run + (run[file .. ":" .. line] and 1 or 0)
        end
        all, all_run = all + n, all_run + n_run
        print(("%6.1f %%  of %4d lines  %s"):format(n_run / n * 100, n, file))
    end
    print(("coverage of Lua: %.1f %% of %d lines"):format(all_run / all * 100, all))
end

local function note(path)
    local seen, names = {}, {}
    require("jit").off() -- compiled code calls no hook
    debug.sethook(function(_, line)
        local source = debug.getinfo(2, "S").source
        local lines = seen[source]
        if not lines then
            lines = {}
            seen[source] = lines
            names[#names + 1] = source
        end
        lines[line] = true
    end, "l")
    local exit = os.exit
    local function write()
        debug.sethook()
        local file = io.open(path, "a")
        for _, source in ipairs(names) do
            local name = source:match("^@(.*)$")
            name = name and name:match("lua/resty/.*$")
            for line in pairs(name and seen[source] or {}) do
                file:write(name, ":", line, "\n")
            end
        end
        file:close()
    end
    os.exit = function(...) -- luacheck: ignore
        write()
        exit(...)
    end
    local last = newproxy(true)
    getmetatable(last).__gc = write
    debug.getregistry()["tandem.coverage"] = last
end

if os.getenv("COVERAGE") and jit then -- busted begins in Lua, and goes on in LuaJIT
    note(os.getenv("COVERAGE"))
elseif arg and arg[1] and not os.getenv("COVERAGE") then
    report(arg[1], { unpack(arg, 2) })
end
