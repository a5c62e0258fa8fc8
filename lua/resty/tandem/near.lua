--- The near table: values as Lua has them, kept in this Lua VM beside the segment.
--
-- What is kept is trusted only while the segment says that it is still there: each hit asks the
-- clock (tandem_tick), then looks at the entry's version word and at the segment's epoch, which any
-- process changes before it says that it has changed the entry.  So there is nothing to be told
-- to other workers, and nothing here to be undone by set or delete.
--
-- An entry comes in at the second hit on the same version in the segment.  It goes when the hand of
-- a clock (as in the page replacement of that name) comes by twice without a hit in between, or
-- once when the segment has changed it.  Entries are arrays with a place each in the ring, and are
-- used again: in the steady state nothing is allocated but what the values themselves need.

local ffi = require "ffi"
local bit = require "bit"

local C = require("resty.tandem.lib").C

local band = bit.band
local frexp = math.frexp
local lshift = bit.lshift
local max = math.max
local min = math.min
local rshift = bit.rshift

local OK = C.TANDEM_OK
local HUGE = math.huge

-- The fields of an entry; find and admit have them as numbers, which the compiler likes best.
--   1  value
--   2  fresh_until   3 slot   4 version   5 epoch   as tandem_result has them
--   6  hit since the hand came by
--   7  where its mark is
--   8  key           9 bytes charged

local OVERHEAD = 300      -- bytes an entry takes beside its key and value, about
local LARGEST = 1 / 16    -- of all bytes: what a single value may take
local STEPS = 32          -- entries that the hand passes for one that comes in
local SEEN_LEAST, SEEN_MOST = 1024, 1048576

local _M = {}

--- A near table for a handle.
-- @param limits entries=, bytes=
function _M.new(handle, limits)
    C.tandem_tick(handle) -- resolves the symbol, which find has to do without allocating
    return {
        handle = handle,
        shared = ffi.new "tandem_near",
        map = {},               -- key -> entry
        ring = {},              -- all entries
        size = 0,               -- how many
        spare = {},             -- those of them that stand for no key
        spares = 0,             -- how many
        hand = 0,
        bytes = 0,
        seen = nil,             -- versions that were hit once, by slot
        seen_mask = 0,
        max_entries = limits.entries,
        max_bytes = limits.bytes,
        largest = limits.bytes * LARGEST,
    }
end

--- Forgets everything, for good: the handle is about to be closed.
function _M.close(near)
    near.map, near.ring, near.spare = {}, {}, {}
    near.size, near.spares, near.bytes = 0, 0, 0
    near.handle, near.largest = nil, -1
end

--- What there is of a key, if the segment has it unchanged: an entry, of which the first field is
-- the value.  It counts as a hit.
function _M.find(near, key)
    local entry = near.map[key]
    if entry then
        local shared = near.shared
        -- First of all: it is also what keeps the loads below in their place.
        if C.tandem_tick(near.handle) < entry[2]
           and shared.words[entry[3]] == entry[4]
           and shared.epoch[0] == entry[5] then
            local marks, mark, hits = shared.marks, entry[7], shared.hits
            entry[6] = true
            if marks[mark] == 0 then
                marks[mark] = 1
            end
            hits[0] = hits[0] + 1
            return entry
        end
    end
end

-- -- Room ----------------------------------------------------------------------------------------

local function drop(near, entry)
    near.map[entry[8]] = nil
    near.bytes = near.bytes - entry[9]
    entry[1], entry[8], entry[9] = nil, false, 0
    local spares = near.spares + 1
    near.spare[spares], near.spares = entry, spares
end

-- Moves the hand by one.
local function turn(near)
    local hand = near.hand % near.size + 1
    local entry = near.ring[hand]
    near.hand = hand
    if entry[8] then
        if entry[6] and near.shared.words[entry[3]] == entry[4] then
            entry[6] = false
        else
            drop(near, entry)
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

local function take_entry(near)
    local spares = near.spares
    if spares > 0 then
        local entry = near.spare[spares]
        near.spare[spares], near.spares = nil, spares - 1
        return entry
    end
    local entry = { false, 0, 0, 0, 0, false, 0, false, 0 }
    local size = near.size + 1
    near.ring[size], near.size = entry, size
    return entry
end

-- -- Coming in -----------------------------------------------------------------------------------

local function make_seen(near)
    local _, exponent = frexp(2 * near.max_entries - 1)
    local n = max(SEEN_LEAST, min(SEEN_MOST, 2 ^ exponent))
    near.seen, near.seen_mask = ffi.new("uint32_t[?]", n), n - 1
end

-- Was the same version of the same entry hit before?  If not, it has been now.  Another entry may
-- have taken its place in between, and one in 2^32 looks like it: both are harmless.
local function seen_before(near, slot, version)
    if not near.seen then
        make_seen(near)
    end
    local i = band(lshift(rshift(slot, 4), 2) + band(slot, 3), near.seen_mask)
    if near.seen[i] == version then
        return true
    end
    near.seen[i] = version
    return false
end

-- Has this process a counter, as it must?  After a fork it needs one of its own.
local function attached(near)
    local handle = near.handle -- nil when a __gc of the application has just closed it
    return handle and (C.tandem_tick(handle) < HUGE
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
    local entry = near.map[key]
    if fresh_until == 0 or length > near.largest
       or not entry and not seen_before(near, slot, version) or not attached(near) then
        return
    end
    if entry then
        drop(near, entry)
    end
    if not has_room(near, bytes) and not make_room(near, bytes) then
        return
    end

    entry = take_entry(near)
    entry[1], entry[2], entry[3], entry[4], entry[5] = value, fresh_until, slot, version, epoch
    entry[6], entry[7] = false, 4 * slot + 16 - 3 * (slot % 4)
    entry[8], entry[9] = key, bytes
    near.map[key] = entry
    near.bytes = near.bytes + bytes
end

return _M
