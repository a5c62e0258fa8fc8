--- What callgrind has written of a function: the instructions of our own code, and how often that
-- calls the code of others (libc, hiredis).
--
-- Instructions of others are left out: libc has a memcpy for each kind of processor.

local _M = {}

-- "__memmove_avx_unaligned_erms" and "memcpy@@GLIBC_2.14": the function that was meant.
local function plain(name)
    name = name:gsub("@.*", ""):gsub("^_+", ""):gsub("_avx.*", ""):gsub("_sse.*", "")
               :gsub("_evex.*", "")
    return name
end

--- Reads one dump, made without compression of strings and positions.
-- @param text the dump
-- @param object what our program's path ends with
-- @param calls by how much numbers are divided
-- @return { instructions =, calls =, functions = { name = instructions },
--   called = { name = calls } }
function _M.read(text, object, calls)
    local result = { instructions = 0, calls = 0, functions = {}, called = {} }
    local ours, callee_ours, name, callee, inclusive = false, false, nil, nil, false

    local function add(to, key, n)
        to[key] = (to[key] or 0) + n / calls
    end
    local function is_ours(path)
        return path:sub(-#object) == object
    end

    for line in text:gmatch("[^\n]+") do
        local key, rest = line:match("^(%l+)=(.*)$")
        if key == "ob" then
            ours, callee_ours = is_ours(rest), is_ours(rest)
        elseif key == "fn" then
            name, callee_ours = rest, ours
        elseif key == "cob" then
            callee_ours = is_ours(rest)
        elseif key == "cfn" then
            callee = rest
        elseif key == "calls" then
            local n = tonumber(rest:match("^%d+"))
            if ours and not callee_ours then
                result.calls = result.calls + n / calls
                add(result.called, plain(callee), n)
            end
            inclusive, callee_ours = true, ours
        elseif not key then
            local cost = tonumber(line:match("^[%d%+%-%*]%S* (%d+)$"))
            if cost and not inclusive and ours and name then
                result.instructions = result.instructions + cost / calls
                add(result.functions, name:gsub("'.*", ""), cost)
            end
            inclusive = false
        end
    end
    return result
end

return _M
