--- A process that uses a cache in memory without end and checks all that it is told: the values of
-- every key say which key they are of, which version, and have a checksum.
--
--   luajit hammer.lua PATH PROGRESS NUMBER PROCESSES
--
-- PATH is the segment's file.  PROGRESS is a file of doubles: this process counts its operations in
-- the one at NUMBER.  A key is written by one process only, and its versions only grow, so whoever
-- has seen one must not see an older one later.  Exits with 1, having said so, at the first thing
-- that is wrong.

local bit = require "bit"
local ffi = require "ffi"

ffi.cdef [[
int open(const char *path, int flags, ...);
void *mmap(void *address, size_t length, int protection, int flags, int fd, long offset);
]]

local path, progress_path = arg[1], arg[2]
local number, processes = tonumber(arg[3]), tonumber(arg[4])

local KEYS = 400
local LARGEST = 20000
local O_RDWR, PROT_READ_WRITE, MAP_SHARED = 2, 3, 1

local tandem = require "resty.tandem"
local now_ms = require("resty.tandem.lib").C.tandem_now_ms

local cache = assert(tandem.new("hammer", { memory = "1m", path = path }))

local progress = ffi.cast("double *", ffi.C.mmap(nil, 4096, PROT_READ_WRITE, MAP_SHARED,
    ffi.C.open(progress_path, O_RDWR), 0))

local function wrong(...)
    print("WRONG", ...)
    io.stdout:flush()
    os.exit(1)
end

local function checksum(text)
    local sum = 17
    for i = 1, #text do
        sum = bit.bxor(bit.rol(sum, 5), text:byte(i))
    end
    return bit.tohex(sum)
end

local filler = {}
for i = 1, LARGEST do
    filler[i] = string.char(33 + i * 7919 % 90)
end
filler = table.concat(filler)

local function make(key, version, size)
    local from = version % 100
    local head = ("%s|%.3f|%s|"):format(key, version, filler:sub(from, from + size))
    return head .. checksum(head)
end

local seen = {} -- key -> the newest version seen

local function check(key, value)
    local head, sum = value:match("^(.*|)(%x+)$")
    if not head or checksum(head) ~= sum then
        wrong("a damaged value of", key, #value, value:sub(1, 100))
    end
    local of, version = head:match("^([^|]*)|([^|]*)|")
    version = tonumber(version)
    if of ~= key then
        wrong("the value of another key", key, of)
    elseif seen[key] and version < seen[key] then
        wrong("an older version after a newer one", key, version, seen[key])
    end
    seen[key] = version
end

-- What may happen to the best, while another process stands still with a lock.
local function check_error(what, err)
    if not err:find("busy", 1, true) then
        wrong("an error of", what, err)
    end
end

local function get(key)
    local value, err, tier = cache:get(key)
    if err then
        check_error("get", err)
    elseif value then
        check(key, value)
        if tier ~= "memory" then
            wrong("a tier", tostring(tier))
        end
    end
end

local version = 0

local function set(key)
    -- Above all earlier ones, also of the process that had this number before.
    version = math.max(version + 0.001, now_ms())
    local size = math.random(20) == 1 and math.random(LARGEST) or math.random(300)
    local value = make(key, version, size)
    local ok, err = cache:set(key, value, math.random(4) == 1 and math.random() or 0)
    if ok then
        seen[key] = tonumber(("%.3f"):format(version))
    elseif not err:find("too large", 1, true) then
        check_error("set", err)
    end
end

local function own_key()
    return "key" .. math.random(0, KEYS / processes - 1) * processes + number
end

local function any_key()
    return "key" .. math.random(0, KEYS - 1)
end

-- A counter of this number's own: it goes up by one, or has been lost and begins anew.
local count = 0

local function incr()
    local sum, err = cache:incr("count" .. number, 1, 0)
    if not sum then
        check_error("incr", err)
    elseif sum ~= count + 1 and sum ~= 1 and count ~= 0 then
        wrong("a sum", sum, count)
    end
    count = sum or 0
end

-- Of a key that somebody deletes and another adds, the newest version is not known.
local function add()
    local key = own_key()
    version = math.max(version + 0.001, now_ms())
    local ok, err = cache:add(key, make(key, version, 100))
    if ok then
        seen[key] = tonumber(("%.3f"):format(version))
    elseif ok == nil then
        check_error("add", err)
    elseif err ~= "exists" then
        wrong("an answer of add", err)
    end
end

local function touch()
    local ok, err
    if math.random(2) == 1 then
        ok, err = cache:touch(any_key())
    else
        ok, err = cache:expire(any_key(), math.random())
    end
    if ok == nil then
        check_error("touch", err)
    end
end

local RARE = {
    function() return cache:keys("key1*") end,
    function() return cache:cleanup_expired() end,
    function() return cache:delete_by_pattern("key" .. math.random(0, 9)) end,
    function() return cache:clear() end,
    function() return cache:stats() end,
}

math.randomseed(number + now_ms())

while true do
    local dice = math.random(1000)
    if dice <= 600 then
        get(any_key())
    elseif dice <= 820 then
        set(own_key())
    elseif dice <= 860 then
        incr()
    elseif dice <= 870 then
        add()
    elseif dice <= 880 then
        touch()
    elseif dice <= 920 then
        local ok, err = cache:delete(any_key())
        if ok == nil then
            check_error("delete", err)
        end
    elseif dice <= 960 then
        local left = cache:ttl(any_key())
        if left and (left < 0 or left > 1.1) then
            wrong("a ttl", left)
        end
    elseif dice <= 995 then
        for key, value in pairs((cache:get_multi({ any_key(), any_key(), any_key() }))) do
            check(key, value)
        end
    else
        local done, err = RARE[math.random(#RARE)]()
        if not done then
            check_error("a walk", err)
        end
    end
    progress[number] = progress[number] + 1
end
