--- What LuaJIT's compiler makes of a function.

local jutil = require "jit.util"
local vmdef = require "jit.vmdef"

-- Looked up here: busted makes globals a chain of functions, which the compiler may try to trace.
local assert, jit, pcall, tostring, type = assert, jit, pcall, tostring, type

-- The compiler began elsewhere than in the loop, by chance of its counters, and tries again.
local FALSE_STARTS = { ["inner loop in root trace"] = true, ["leaving loop in root trace"] = true }

--- Runs fn with the compiler's events recorded.
-- @return aborts, an array of sentences; and how traces ended, an array, too
return function(fn)
    local aborts, links = {}, {}
    local function on_trace(what, trace, func, pc, otherwise, extra)
        if what == "abort" then
            local where = jutil.funcinfo(func, pc)
            local reason = vmdef.traceerr[otherwise] or tostring(otherwise)
            if type(extra) == "number" then
                reason = reason:gsub("%%d", tostring(extra))
            elseif extra ~= nil then
                reason = reason:gsub("%%s", tostring(extra))
            end
            if not FALSE_STARTS[reason] then
                aborts[#aborts + 1] = (where.loc or "?") .. ": " .. reason
            end
        elseif what == "stop" then
            links[#links + 1] = jutil.traceinfo(trace).linktype
        end
    end
    jit.flush()
    jit.attach(on_trace, "trace")
    local ok, err = pcall(fn)
    jit.attach(on_trace)
    assert(ok, err)
    return aborts, links
end
