--- The near table: values as Lua has them, kept in this Lua VM beside the segment.
--
-- What is kept is trusted only while the segment says that it is still there: each hit asks
-- tandem_near_hit, which looks at the clock, at the entry's version word and at the segment's
-- epoch.  Any process changes those before it says that it has changed the entry.  So there is
-- nothing to be told to other workers, and nothing here to be undone by set or delete.
--
-- An entry comes in at the second hit on the same version in the segment.  It goes when the hand of
-- a clock (as in the page replacement of that name) comes by twice without a hit in between, or
-- once when the segment has changed it.  Entries have numbers, which are used again: in the steady
-- state nothing is allocated but what the values themselves need.

local ffi = require "ffi"
local bit = require "bit"

local C = require("resty.tandem.lib").C

local band = bit.band
local bxor = bit.bxor
local copy = ffi.copy
local frexp = math.frexp
local max = math.max
local min = math.min
local new = ffi.new
local rshift = bit.rshift
local sizeof = ffi.sizeof

local OK = C.TANDEM_OK

local OVERHEAD = 200      -- bytes an entry takes beside its key and value, about
local LARGEST = 1 / 16    -- of all bytes: what a single value may take
local STEPS = 32          -- entries that the hand passes for one that comes in
local FIRST = 64          -- entries there is room for at first
local SEEN_LEAST, SEEN_MOST = 1024, 1048576

local _M = {}

--- A near table for a handle.
-- @param limits entries=, bytes=
function _M.new(handle, limits)
    return {
        handle = handle,
        map = {},               -- key -> number
        values = {},            -- number -> value
        keys = {},              -- number -> key, or false
        charged = {},           -- number -> bytes
        shared = new "tandem_near",
        entries = nil,          -- what shared.entries points to, by number
        capacity = 0,           -- numbers there is room for in it
        size = 0,               -- numbers there are, from 1
        spare = {},             -- those of them that stand for no key
        spares = 0,             -- how many
        hand = 0,
        bytes = 0,
        seen = nil,             -- versions that were hit once, by slot
        seen_mask = 0,
        coin = 0,
        max_entries = limits.entries,
        max_bytes = limits.bytes,
        largest = limits.bytes * LARGEST,
    }
end

--- Forgets everything, for good: the handle is about to be closed.
function _M.close(near)
    near.map, near.values, near.keys, near.spare = {}, {}, {}, {}
    near.size, near.spares, near.bytes = 0, 0, 0
    near.handle, near.largest = nil, -1
end

--- The number of a key whose value is kept, if the segment has it unchanged; the value is in
-- near.values by that number.  It counts as a hit.
function _M.find(near, key)
    local i = near.map[key]
    if i and C.tandem_near_hit(near.shared, i) ~= 0 then
        return i
    end
end

-- -- Room ----------------------------------------------------------------------------------------

local function drop(near, i)
    local charged = near.charged
    near.map[near.keys[i]] = nil
    near.bytes = near.bytes - charged[i]
    near.values[i], near.keys[i], charged[i] = false, false, 0
    local spares = near.spares + 1
    near.spare[spares], near.spares = i, spares
end

-- Moves the hand by one.
local function turn(near)
    local i = near.hand % near.size + 1
    near.hand = i
    if near.keys[i] then
        local entry = near.entries[i]
        if entry.used ~= 0 and near.shared.words[entry.slot] == entry.version then
            entry.used = 0
        else
            drop(near, i)
        end
    end
end

-- Is there room for an entry of so many bytes?
local function has_room(near, bytes)
    return near.bytes + bytes <= near.max_bytes
       and (near.spares > 0 or near.size < near.max_entries)
end

-- Makes room for an entry of so many bytes; false when too much of what the hand met is in use.
local function make_room(near, bytes)
    for _ = 1, STEPS do
        if near.size == 0 then
            return false
        end
        turn(near)
        if has_room(near, bytes) then
            return true
        end
    end
    return false
end

local function grow(near)
    local capacity = max(FIRST, min(2 * near.capacity, near.max_entries))
    local entries = new("tandem_near_entry[?]", capacity + 1)
    if near.entries then
        copy(entries, near.entries, (near.size + 1) * sizeof "tandem_near_entry")
    end
    near.entries, near.capacity, near.shared.entries = entries, capacity, entries
end

local function take_number(near)
    local spares = near.spares
    if spares > 0 then
        local i = near.spare[spares]
        near.spare[spares], near.spares = nil, spares - 1
        return i
    end
    if near.size == near.capacity then
        grow(near)
    end
    near.size = near.size + 1
    return near.size
end

-- -- Coming in -----------------------------------------------------------------------------------

local function make_seen(near)
    local _, exponent = frexp(2 * near.max_entries - 1)
    local n = max(SEEN_LEAST, min(SEEN_MOST, 2 ^ exponent))
    near.seen, near.seen_mask = ffi.new("uint32_t[?]", n), n - 1
end

-- Heads or tails, without order enough for a loop of the caller's to keep step with it.
local function heads(near)
    local coin = (near.coin * 25173 + 13849) % 65536 -- a congruence of full period
    near.coin = coin
    return coin >= 32768
end

-- Was the same version of the same entry hit before?  If not, it has been now.  Of two entries that
-- share a place the newcomer takes it every other time: taking it always, neither would be seen
-- twice by a loop over both.  One in 2^32 looks like another, which is harmless.
local function seen_before(near, slot, version)
    if not near.seen then
        make_seen(near)
    end
    local i = band(bxor(slot, rshift(slot, 3)), near.seen_mask) -- most are the first of eight
    if near.seen[i] == version then
        return true
    end
    if near.seen[i] == 0 or heads(near) then
        near.seen[i] = version
    end
    return false
end

-- Has this process a counter, as it must?  After a fork it needs one of its own.
local function attached(near)
    local handle = near.handle -- nil when a __gc of the application has just closed it
    return handle and (C.tandem_near_attached(near.shared) ~= 0
                       or C.tandem_near_attach(handle, near.shared) == OK)
end

--- Takes note of a hit in the segment, and keeps the value if that is worth while.
-- @param near
-- @param key
-- @param value what the codec made of the bytes; not nil
-- @param length of the bytes
-- @param fresh_until, slot, version, epoch as tandem_result has them
function _M.admit(near, key, value, length, fresh_until, slot, version, epoch)
    local bytes = #key + length + OVERHEAD
    local i = near.map[key]
    if fresh_until == 0 or length > near.largest
       or not i and not seen_before(near, slot, version) or not attached(near) then
        return
    end
    if i then
        drop(near, i)
    end
    if not has_room(near, bytes) and not make_room(near, bytes) then
        return
    end

    i = take_number(near)
    local entry = near.entries[i]
    entry.fresh_until, entry.slot, entry.version, entry.epoch = fresh_until, slot, version, epoch
    entry.used = 0
    near.values[i], near.keys[i], near.charged[i] = value, key, bytes
    near.map[key] = i
    near.bytes = near.bytes + bytes
end

return _M
