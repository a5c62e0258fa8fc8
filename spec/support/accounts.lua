--- What processes have done with a cache and were told, kept by them in a file that outlives them,
-- to be held against what the cache has counted.
--
-- Each process has a row of doubles: of every kind of operation how many it has begun, and of every
-- result how many it has had.  A process that is killed may have been in the middle of one.

local ffi = require "ffi"

ffi.cdef [[
int open(const char *path, int flags, ...);
int close(int fd);
void *mmap(void *address, size_t length, int protection, int flags, int fd, long offset);
]]

local O_RDWR, PROT_READ_WRITE, MAP_SHARED = 2, 3, 1

local _M = { ROWS = 256 }
local Accounts = {}
Accounts.__index = Accounts

-- kind of operation -> results that it can have
local RESULTS = {
    get = { "hit", "miss" },
    set = { "stored", "not stored" },
    delete = { "deleted", "not deleted" },
    fetch = { "loaded", "failed", "found" },
}

local columns, width = {}, 0
for kind, results in pairs(RESULTS) do
    columns[kind] = {}
    for _, name in ipairs(results) do
        columns[name] = {}
    end
end
local names = {}
for name in pairs(columns) do
    names[#names + 1] = name
end
table.sort(names)
for _, name in ipairs(names) do
    columns[name], width = width, width + 1
end

local BYTES = _M.ROWS * width * 8

--- The content of a new file.
function _M.empty()
    return ("\0"):rep(BYTES)
end

function _M.open(path)
    local fd = ffi.C.open(path, O_RDWR)
    local at = ffi.C.mmap(nil, BYTES, PROT_READ_WRITE, MAP_SHARED, fd, 0)
    ffi.C.close(fd)
    assert(ffi.cast("intptr_t", at) ~= -1, "cannot map the accounts")
    return setmetatable({ numbers = ffi.cast("double *", at) }, Accounts)
end

--- One more of an operation begun, or of a result had.
function Accounts:add(row, name)
    local at = row * width + columns[name]
    self.numbers[at] = self.numbers[at] + 1
end

--- How many, over all rows.
function Accounts:sum(name)
    local sum = 0
    for row = 0, _M.ROWS - 1 do
        sum = sum + self.numbers[row * width + columns[name]]
    end
    return sum
end

--- How many of an operation were begun and have had no result.
function Accounts:under_way(kind)
    local n = self:sum(kind)
    for _, name in ipairs(RESULTS[kind]) do
        n = n - self:sum(name)
    end
    return n
end

return _M
