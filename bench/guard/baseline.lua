--- The file of the counts that are held against: text, so that changes of it can be reviewed.
--
--   compiler x86_64-linux-gnu 12.2.0 -O2 -g
--   get_hit 203.5 instructions, 2.00 calls
--       memory_get 61.0

local _M = {}

-- Names by their numbers, the largest first, and of equal ones by the alphabet.
local function by_number(map)
    local names = {}
    for name in pairs(map) do
        names[#names + 1] = name
    end
    table.sort(names, function(a, b)
        return map[a] > map[b] or map[a] == map[b] and a < b
    end)
    return names
end

local function by_name(map)
    local names = {}
    for name in pairs(map) do
        names[#names + 1] = name
    end
    table.sort(names)
    return names
end

--- @param counts { operation = what profile.read returns }
function _M.write(compiler, counts)
    local lines = { "compiler " .. compiler }
    for _, operation in ipairs(by_name(counts)) do
        local count = counts[operation]
        lines[#lines + 1] = ("%s %.1f instructions, %.2f calls"):format(
            operation, count.instructions, count.calls)
        for _, name in ipairs(by_number(count.functions)) do
            if count.functions[name] >= 0.05 then
                lines[#lines + 1] = ("    %s %.1f"):format(name, count.functions[name])
            end
        end
    end
    return table.concat(lines, "\n") .. "\n"
end

--- @return the compiler, and counts
function _M.read(text)
    local counts, compiler, last = {}, nil, nil
    for line in text:gmatch("[^\n]+") do
        local operation, instructions, calls =
            line:match("^(%S+) (%S+) instructions, (%S+) calls$")
        if operation then
            last = { instructions = tonumber(instructions), calls = tonumber(calls),
                     functions = {} }
            counts[operation] = last
        elseif line:match("^compiler ") then
            compiler = line:sub(10)
        else
            local name, n = line:match("^    (%S+) (%S+)$")
            assert(last and tonumber(n), "this line makes no sense: " .. line)
            last.functions[name] = tonumber(n)
        end
    end
    return compiler, counts
end

-- Functions that take more instructions than before, those that grew most first.
local function grown(before, now)
    local growth = {}
    for name, n in pairs(now) do
        if n - (before[name] or 0) >= 1 then
            growth[name] = n - (before[name] or 0)
        end
    end
    local words = {}
    for _, name in ipairs(by_number(growth)) do
        words[#words + 1] = ("%s %.1f"):format(name, now[name])
            .. (before[name] and (", was %.1f"):format(before[name]) or "")
    end
    return table.concat(words, ", ")
end

--- Holds counts against earlier ones.
-- @param bound how much more is too much: 0.05
-- @return sentences, each of an operation that is dearer or is missing on one of the sides
function _M.compare(before, now, bound)
    local complaints = {}
    for _, operation in ipairs(by_name(now)) do
        local old, new = before[operation], now[operation]
        if not old then
            complaints[#complaints + 1] = operation .. " is not in the baseline"
        else
            for _, what in ipairs { "instructions", "calls" } do
                if new[what] > old[what] * (1 + bound) + 0.01 then
                    complaints[#complaints + 1] = ("%s: %.1f %s instead of %.1f (%+.1f %%): %s")
                        :format(operation, new[what], what, old[what],
                                (new[what] / old[what] - 1) * 100,
                                what == "calls" and "of libc and hiredis"
                                or grown(old.functions, new.functions))
                end
            end
        end
    end
    for _, operation in ipairs(by_name(before)) do
        if not now[operation] then
            complaints[#complaints + 1] = operation .. " is in the baseline, and was not counted"
        end
    end
    return complaints
end

return _M
