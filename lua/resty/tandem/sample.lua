--- A look at what a cache's memory holds and what of it is read, by prefixes: for the status page.
--
-- A sample is a run of slots from a chance one on, all of them if there are few; which slot a key
-- is in depends on its hash, so the run stands for the whole.  Ten times in a second it is looked
-- at which of its entries were read since the look before, by the marks that reads leave there;
-- then the marks are given back.  Takes no lock, and lets others run after each millisecond.
--
-- One sample of a cache at a time in a process, begun when somebody asks and the last one is old.

local ffi = require "ffi"

local C = require("resty.tandem.lib").C
local arguments = require "resty.tandem.arguments"
local handles = require "resty.tandem.handles"
local host = require "resty.tandem.host"
local prefix_of = require "resty.tandem.prefix"
local random = require "resty.tandem.random"

local floor = math.floor
local min = math.min
local sort = table.sort
local str = ffi.string
local sub = string.sub

local OK = C.TANDEM_OK
local is_reserved = arguments.is_reserved

local CHUNK = 1024          -- slots looked at in one go
local MOST_SLOTS = 1048576
local MOST_ENTRIES = 4096
local LOOKS, LOOK_MS = 10, 100
local OLD_MS = 5000
local DEAD_MS = 30000       -- one that has not ended by then never will: its timer was not run
local LONGEST = 64          -- bytes that are kept of a prefix

local _M = {}

local key_room = ffi.new("char[4096]")
local result = ffi.new "tandem_result"

-- -- What is there -------------------------------------------------------------------------------

local function add_entry(sample, chunk, offset, key, length)
    if is_reserved(key) then
        return
    end
    local name = sub(prefix_of(key), 1, LONGEST)
    local prefix = sample.by_name[name]
    if not prefix then
        prefix = { prefix = name, entries = 0, bytes = 0, looks = 0 }
        sample.by_name[name], sample.prefixes[#sample.prefixes + 1] = prefix, prefix
    end
    prefix.entries, prefix.bytes = prefix.entries + 1, prefix.bytes + #key + length
    sample.entries = sample.entries + 1
    chunk.n = chunk.n + 1
    chunk.offsets[chunk.n], chunk.prefixes[chunk.n] = offset, prefix
end

local function read_chunk(sample, handle, from)
    local n = min(CHUNK, sample.all_slots - from)
    local chunk = { from = from, slots = n, n = 0, offsets = {}, prefixes = {} }
    for offset = 0, n - 1 do
        if C.tandem_slot(handle, from + offset, key_room, result) == OK then
            local length, value_length = result.length, result.count
            add_entry(sample, chunk, offset, str(key_room, length), value_length)
        end
    end
    sample.slots = sample.slots + n
    if chunk.n > 0 then
        chunk.times, chunk.before = ffi.new("uint8_t[?]", n), ffi.new("uint8_t[?]", n)
        sample.chunks[#sample.chunks + 1] = chunk
    end
end

-- Chunk after chunk, round the end, until there are enough entries, or slots.
local function read_entries(sample, core)
    local chunks = math.ceil(sample.all_slots / CHUNK)
    local first, since = floor(random() * chunks), C.tandem_now_ms()
    for i = 0, chunks - 1 do
        if not core.handle or sample.entries >= MOST_ENTRIES or sample.slots >= MOST_SLOTS then
            return
        end
        read_chunk(sample, core.handle, (first + i) % chunks * CHUNK)
        since = host.breathe(since)
    end
end

-- -- What is read --------------------------------------------------------------------------------

-- Only chunks with entries: of the others no mark is touched.
local function each_chunk(sample, core, visit, which)
    local since = C.tandem_now_ms()
    for _, chunk in ipairs(sample.chunks) do
        if not core.handle then
            return
        end
        visit(core.handle, chunk.from, chunk.slots, chunk[which])
        since = host.breathe(since)
    end
end

local function count_looks(sample)
    for _, chunk in ipairs(sample.chunks) do
        for i = 1, chunk.n do
            local prefix, looks = chunk.prefixes[i], chunk.times[chunk.offsets[i]]
            prefix.looks = prefix.looks + looks
            sample.looks = sample.looks + looks
        end
    end
end

-- What each of the two orders has at its top, each prefix once.
local function top(prefixes, limit)
    local list, taken = {}, {}
    for _, order in ipairs({ "looks", "bytes" }) do
        sort(prefixes, function(a, b)
            return a[order] > b[order] or a[order] == b[order] and a.prefix < b.prefix
        end)
        for i = 1, min(limit, #prefixes) do
            local prefix = prefixes[i]
            if not taken[prefix] then
                taken[prefix], list[#list + 1] = true, prefix
            end
        end
    end
    return list
end

local function finish(sample, core)
    handles.leave(core)
    count_looks(sample)
    core.sample = {
        taken_ms = C.tandem_now_ms(), slots = sample.slots, all_slots = sample.all_slots,
        entries = sample.entries, looks = sample.looks, prefixes = top(sample.prefixes, _M.LIMIT),
        prefix_count = #sample.prefixes,
    }
    core.sampling = nil
end

local function look(sample)
    local core = sample.core
    each_chunk(sample, core, C.tandem_marks_take, "times")
    sample.looks_left = sample.looks_left - 1
    if sample.looks_left > 0 and core.handle and host.after(LOOK_MS / 1000, look, sample) then
        return
    end
    each_chunk(sample, core, C.tandem_marks_give, "before")
    each_chunk(sample, core, C.tandem_marks_give, "times")
    finish(sample, core)
end

local function begin(sample)
    local core = sample.core
    if not core.handle then
        core.sampling = nil
        return
    end
    handles.enter(core)
    sample.all_slots = C.tandem_slots(core.handle)
    read_entries(sample, core)
    each_chunk(sample, core, C.tandem_marks_take, "before") -- read earlier than this sample
    if not host.after(LOOK_MS / 1000, look, sample) then
        look(sample)
    end
end

-- -- Asking for it -------------------------------------------------------------------------------

--- How many prefixes of each order a sample has at most.
_M.LIMIT = 8

--- The newest sample of this process, and begins another one if that is old.
-- @return taken_ms= (tandem_now_ms()), slots=, all_slots=, entries=, looks=, prefix_count=,
-- prefixes= (an array of { prefix=, entries=, bytes=, looks= }); nil: there is none yet
function _M.newest(core)
    local now = C.tandem_now_ms()
    local sample, began = core.sample, core.sampling
    local is_new = sample and now - sample.taken_ms < OLD_MS
    local is_coming = began and now - began < DEAD_MS
    if not is_new and not is_coming then
        core.sampling = now
        if not host.after(0, begin, {
            core = core, slots = 0, entries = 0, looks = 0, looks_left = LOOKS, chunks = {},
            prefixes = {}, by_name = {},
        }) then
            core.sampling = nil
        end
    end
    return sample
end

return _M
