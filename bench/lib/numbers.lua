--- Medians, and numbers that look random but are the same in every run.

local bit = require "bit"

local _M = {}

function _M.median(list)
    local sorted = { unpack(list) }
    table.sort(sorted)
    local n = #sorted
    if n % 2 == 1 then
        return sorted[(n + 1) / 2]
    end
    return (sorted[n / 2] + sorted[n / 2 + 1]) / 2
end

--- Of rows, each with these fields, a row of the fields' medians.
function _M.medians(rows, fields)
    local result = {}
    for _, field in ipairs(fields) do
        local list = {}
        for i, row in ipairs(rows) do
            list[i] = row[field]
        end
        result[field] = _M.median(list)
    end
    return result
end

--- A function that returns numbers in [0, 1): xorshift, 32 bits (Marsaglia, 2003).
function _M.random(seed)
    local x = seed or 2463534242
    return function()
        x = bit.bxor(x, bit.lshift(x, 13))
        x = bit.bxor(x, bit.rshift(x, 17))
        x = bit.bxor(x, bit.lshift(x, 5))
        return (x % 4294967296) / 4294967296
    end
end

--- A function that draws 1..n by Zipf's law.
function _M.zipf(n, exponent, random)
    local sums, sum = {}, 0
    for i = 1, n do
        sum = sum + i ^ -exponent
        sums[i] = sum
    end
    return function()
        local wanted, low, high = random() * sum, 1, n
        while low < high do
            local middle = math.floor((low + high) / 2)
            if sums[middle] < wanted then
                low = middle + 1
            else
                high = middle
            end
        end
        return low
    end
end

--- The value of key i: different from the others' everywhere, as LuaJIT's hash of long strings
-- looks at a few places of them only.
function _M.value(i, size)
    local block = string.format("%08x", (i * 2654435761) % 4294967296)
    return string.rep(block, math.ceil(size / 8)):sub(1, size)
end

function _M.shuffle(list, random)
    for i = #list, 2, -1 do
        local j = 1 + math.floor(random() * i)
        list[i], list[j] = list[j], list[i]
    end
    return list
end

return _M
