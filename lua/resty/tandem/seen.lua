--- A set of keys of which it holds 8 bytes each, whatever their length: a hash of 64 bits.  Two
-- keys out of n have the same one, and are taken for one, with a chance of n * n / 2^65.

local bit = require "bit"
local ffi = require "ffi"

local C = require("resty.tandem.lib").C

local band = bit.band
local new = ffi.new

local FIRST = 1024      -- places at first
local MOST = 1048576    -- keys at most

local _M = { MOST = MOST }

local halves = new "uint32_t[2]"

function _M.new()
    return { places = new("uint32_t[?]", 2 * FIRST), mask = FIRST - 1, count = 0 }
end

-- Where a hash is, or the empty place where it would be.  0, 0 is empty.
local function find(places, mask, low, high)
    local i = band(low, mask)
    while true do
        local a, b = places[2 * i], places[2 * i + 1]
        if a == low and b == high then
            return i, true
        elseif a == 0 and b == 0 then
            return i, false
        end
        i = band(i + 1, mask)
    end
end

local function grow(set)
    local old, n = set.places, set.mask + 1
    local places, mask = new("uint32_t[?]", 4 * n), 2 * n - 1

    for i = 0, n - 1 do
        local low, high = old[2 * i], old[2 * i + 1]
        if low ~= 0 or high ~= 0 then
            local j = find(places, mask, low, high)
            places[2 * j], places[2 * j + 1] = low, high
        end
    end
    set.places, set.mask = places, mask
end

--- Is this the first time that the key is given?  A set that is full answers true for every key
-- that is not in it.
function _M.first(set, key)
    C.tandem_hash(key, #key, halves)
    local low, high = halves[0], halves[1]
    if low == 0 and high == 0 then
        low = 1
    end
    local i, there = find(set.places, set.mask, low, high)
    if there then
        return false
    end
    if set.count < MOST then
        set.places[2 * i], set.places[2 * i + 1] = low, high
        set.count = set.count + 1
        if 2 * set.count > set.mask then
            grow(set)
        end
    end
    return true
end

return _M
