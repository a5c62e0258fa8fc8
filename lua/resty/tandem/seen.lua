--- A set of keys of which it holds a hash of 64 bits each, whatever their length.  Two keys out of
-- n have the same one, and are taken for one, with a chance of n * n / 2^65.
--
-- It grows by one part at a time, so that no step of it takes long, whatever its size: linear
-- hashing (Litwin, VLDB 1980).  Each part is a table of its own with open addresses; the next one
-- in turn is divided whenever there are so many keys more.

local bit = require "bit"
local ffi = require "ffi"

local C = require("resty.tandem.lib").C
local random = require "resty.tandem.random"

local band = bit.band
local new = ffi.new

local PLACES = 1024     -- of a part
local FILL = 384        -- keys a part, on average; one that is to be divided next has twice as many
local MOST = PLACES - 64 -- of a part

local _M = {}

local halves = new "uint32_t[2]"

-- Its places, and after them how many are taken.
local function new_part()
    return new("uint32_t[?]", 2 * PLACES + 1)
end

local function put(places, i, low, high)
    places[2 * i], places[2 * i + 1] = low, high
    places[2 * PLACES] = places[2 * PLACES] + 1
end

--- An empty one.
-- @param most it holds so many keys; default: any number
function _M.new(most)
    return {
        parts = { [0] = new_part() },
        turn = 0,       -- the part to be divided next
        width = 1,      -- so many parts there were at the beginning of this round
        count = 0,
        most = most or math.huge,
        seed = random() * 4294967296,
    }
end

-- Where a hash is, or the empty place where it would be.  0, 0 is empty.
local function find(places, low, high)
    local i = band(high, PLACES - 1)
    while true do
        local a, b = places[2 * i], places[2 * i + 1]
        if a == low and b == high then
            return i, true
        elseif a == 0 and b == 0 then
            return i, false
        end
        i = band(i + 1, PLACES - 1)
    end
end

-- A part becomes two: one more bit of the hash says which.
local function divide(set)
    local width = set.width
    local old, stays, goes = set.parts[set.turn], new_part(), new_part()

    for i = 0, PLACES - 1 do
        local low, high = old[2 * i], old[2 * i + 1]
        if low ~= 0 or high ~= 0 then
            local places = band(low, width) == 0 and stays or goes
            put(places, (find(places, low, high)), low, high)
        end
    end
    set.parts[set.turn], set.parts[set.turn + width] = stays, goes
    set.turn = set.turn + 1
    if set.turn == width then
        set.turn, set.width = 0, 2 * width
    end
end

--- Is this the first time that the key is given?  A set that is full answers true for every key
-- that is not in it.
function _M.first(set, key)
    C.tandem_hash(key, #key, set.seed, halves)
    local low, high = halves[0], halves[1]
    if low == 0 and high == 0 then
        low = 1
    end
    local width = set.width
    local part = band(low, width - 1)
    if part < set.turn then
        part = band(low, 2 * width - 1)
    end
    local places = set.parts[part]
    local i, there = find(places, low, high)
    if there or set.count >= set.most or places[2 * PLACES] >= MOST then
        return not there
    end
    put(places, i, low, high)
    set.count = set.count + 1
    if set.count > FILL * (width + set.turn) then
        divide(set)
    end
    return true
end

return _M
