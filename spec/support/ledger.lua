--- What several processes have written to Redis, and when that was acknowledged: shared by them in
-- a file, so that whoever reads a key can tell whether what it got is too old.
--
-- Each key has one writer at a time, and versions that only grow.  A version that is a multiple of
-- DELETES is a delete.

local bit = require "bit"
local ffi = require "ffi"
local C = require("resty.tandem.lib").C

ffi.cdef [[
int open(const char *path, int flags, ...);
void *mmap(void *address, size_t length, int protection, int flags, int fd, long offset);
]]

local O_RDWR, PROT_READ_WRITE, MAP_SHARED = 2, 3, 1
local RING = 256 -- how many of a key's versions are remembered
local DELETES = 10

local _M = { KEYS = 240, PROCESSES = 16 }
local Ledger = {}
Ledger.__index = Ledger

-- In doubles: of each key the version begun, the one acknowledged last, the last that may be a
-- delete, and when each was acknowledged; of each process its operations of eight kinds.
local PER_KEY = 3 + RING
local OPERATIONS = _M.KEYS * PER_KEY
local SIZE = (OPERATIONS + _M.PROCESSES * 8) * 8

--- Makes the file of a new one: its content.
function _M.empty()
    return ("\0"):rep(SIZE)
end

function _M.open(path)
    local at = ffi.C.mmap(nil, SIZE, PROT_READ_WRITE, MAP_SHARED, ffi.C.open(path, O_RDWR), 0)
    assert(ffi.cast("intptr_t", at) ~= -1, "cannot map the ledger")
    return setmetatable({ numbers = ffi.cast("double *", at) }, Ledger)
end

--- What a process has found is wrong: it says so, and ends with 1.
function _M.wrong(...)
    local words = { "WRONG", ... }
    for i, word in ipairs(words) do
        words[i] = tostring(word)
    end
    print(table.concat(words, " "))
    io.stdout:flush()
    os.exit(1)
end

--- The next version of a key, and whether that is a delete.
function Ledger:begin(key)
    local at = key * PER_KEY
    local version = self.numbers[at] + 1
    self.numbers[at] = version
    return version, version % DELETES == 0
end

--- The newest version of a key that has begun.
function Ledger:begun(key)
    return self.numbers[key * PER_KEY]
end

--- Redis has acknowledged it.
function Ledger:acknowledge(key, version)
    local at = key * PER_KEY
    local now = C.tandem_now_ms() + 1 -- rounded up
    for v = self.numbers[at + 1] + 1, version do -- those in between never were
        self.numbers[at + 3 + bit.band(v, RING - 1)] = now
    end
    C.tandem_now_ms() -- a call that the compiler moves no store across
    self.numbers[at + 1] = version
end

--- Memory alone has it: when Redis is told later, and memory has lost it by then, that is a delete.
function Ledger:queued(key, version)
    self.numbers[key * PER_KEY + 2] = version
end

--- Redis has lost all keys: none need be there until it has been written anew.
function Ledger:lose()
    for key = 0, _M.KEYS - 1 do
        self:queued(key, self:begun(key))
    end
end

--- The newest version that was acknowledged before that time, in milliseconds.
function Ledger:floor(key, time)
    local at = key * PER_KEY
    local version = self.numbers[at + 1]
    local oldest = version - RING / 2
    while version > 0 and self.numbers[at + 3 + bit.band(version, RING - 1)] > time do
        version = version - 1
        if version < oldest then
            return 0
        end
    end
    return version
end

--- May a key be absent for one who must see this version or a newer one?
function Ledger:may_lack(key, floor)
    local newest, queued = self.numbers[key * PER_KEY], self.numbers[key * PER_KEY + 2]
    return floor == 0 or queued >= floor or math.ceil(floor / DELETES) * DELETES <= newest
end

--- One operation more of a process; which: 0 to 7, what it was.
function Ledger:count(process, which)
    local at = OPERATIONS + process * 8 + which
    self.numbers[at] = self.numbers[at] + 1
end

-- Of the eight kinds two are deaths, and those that cannot have an effect any more.
local DIED, SETTLED = 6, 7

--- A process is about to be killed, or what it had sent has reached Redis, or never will.
function Ledger:note_death(process)
    self:count(process, DIED)
end

function Ledger:note_settled(process)
    self:count(process, SETTLED)
end

--- May one in its place write?
function Ledger:settled(process)
    return self:counted(process, DIED) == self:counted(process, SETTLED)
end

function Ledger:counted(process, which)
    return self.numbers[OPERATIONS + process * 8 + which]
end

return _M
