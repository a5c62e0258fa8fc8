--- Which lines of Lua are run.  As LUA_INIT, or run in init_by_lua*, it appends each line of
-- lua/resty that is run to the file named by COVERAGE, as "file:line", at its first time: so what
-- is killed has told what it ran, too.
--
--   COVERAGE=lines LUA_INIT=@tools/coverage.lua busted ...
--
-- With arguments it says how many there are of those that could be, and which were not:
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

-- "3-7, 9" of an array of lines.
local function ranges(lines)
    table.sort(lines)
    local parts, first = {}, nil
    for i, line in ipairs(lines) do
        first = first or line
        if lines[i + 1] ~= line + 1 then
            parts[#parts + 1] = first == line and tostring(line) or first .. "-" .. line
            first = nil
        end
    end
    return table.concat(parts, ", ")
end

local function report(path, files)
    local run = {}
    for line in io.lines(path) do
        run[line] = true
    end
    local all, all_missed = 0, 0
    for _, file in ipairs(files) do
        local n, missed = 0, {}
        for line in pairs(active(assert(loadfile(file)), {})) do
            n = n + 1
            if not run[file .. ":" .. line] then
                missed[#missed + 1] = line
            end
        end
        all, all_missed = all + n, all_missed + #missed
        print(("%6.1f %%  of %4d lines  %s  %s"):format((n - #missed) / n * 100, n, file,
                                                       ranges(missed)))
    end
    print(("coverage of Lua: %.1f %% of %d lines"):format((all - all_missed) / all * 100, all))
end

local function note(path)
    local file = assert(io.open(path, "a"))
    file:setvbuf("no")
    -- A source's name and its lines that were run, or false if it is not ours; the same by
    -- function, which is quicker to ask for.
    local by_source, by_function = {}, setmetatable({}, { __mode = "k" })
    local function lines_of(fn)
        local source = debug.getinfo(fn, "S").source
        if by_source[source] == nil then
            local name = source:match("^@.*(lua/resty/.*)$")
            by_source[source] = name and { name = name } or false
        end
        by_function[fn] = by_source[source]
        return by_source[source]
    end
    require("jit").off() -- compiled code calls no hook
    debug.sethook(function(_, line)
        local fn = debug.getinfo(2, "f").func
        local lines = by_function[fn]
        if lines == nil then
            lines = lines_of(fn)
        end
        if lines and not lines[line] then
            lines[line] = true
            file:write(lines.name .. ":" .. line .. "\n")
        end
    end, "l")
end

if os.getenv("COVERAGE") and jit then -- busted begins in Lua, and goes on in LuaJIT
    note(os.getenv("COVERAGE"))
elseif arg and arg[1] and not os.getenv("COVERAGE") then
    report(arg[1], { unpack(arg, 2) })
end
