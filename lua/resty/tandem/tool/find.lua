--- Finds segments: by their file, or by the name of their cache.
--
-- A segment with a name alone may be in the folder where workers meet, in a file of the option
-- `path`, or, most often, in no file at all: made in init_by_lua* and inherited.  Then the kernel
-- lends it: /proc/PID/map_files has a name for each mapping of a process, for root to open.

local ffi = require "ffi"

local C = require("resty.tandem.lib").C
local show = require "resty.tandem.tool.show"

ffi.cdef [[
int geteuid(void);
typedef struct __dirstream tandem_tool_dir;
struct tandem_tool_dirent {
    uint64_t ino; int64_t off; unsigned short length; unsigned char type; char name[256];
};
tandem_tool_dir *opendir(const char *name);
struct tandem_tool_dirent *readdir(tandem_tool_dir *dir);
int closedir(tandem_tool_dir *dir);
]]

local LEAST = 1048576 -- bytes of a segment

local _M = {}

local function list(folder)
    local names, dir = {}, ffi.C.opendir(folder)
    if dir == nil then
        return names
    end
    while true do
        local entry = ffi.C.readdir(dir)
        if entry == nil then
            break
        end
        names[#names + 1] = ffi.string(entry.name)
    end
    ffi.C.closedir(dir)
    table.sort(names)
    return names
end

--- What a segment in a file says of itself; or nil and why there is none.
function _M.describe(path)
    local out, err = ffi.new "tandem_segment *[1]", ffi.new("char[?]", 1536)
    local description = ffi.new "tandem_description"
    if C.tandem_segment_open(path, out, description, err, 1536) ~= C.TANDEM_OK then
        return nil, ffi.string(err)
    end
    C.tandem_segment_close(out[0])
    return { path = path, name = ffi.string(description.name), bytes = description.bytes,
             identity = ffi.string(description.identity), with_redis = description.with_redis == 1 }
end

-- -- Files where workers meet --------------------------------------------------------------------

local function met(runtime_dir, found)
    local base = runtime_dir or os.getenv("TMPDIR") or "/tmp"
    local own = "tandem-" .. ffi.C.geteuid()
    for _, folder in ipairs(list(base)) do
        if folder == own or ffi.C.geteuid() == 0 and folder:find("^tandem%-%d+$") then
            for _, file in ipairs(list(base .. "/" .. folder)) do
                if file:find("%.segment$") then
                    found(base .. "/" .. folder .. "/" .. file)
                end
            end
        end
    end
end

-- -- What processes have mapped ------------------------------------------------------------------

local function size_of(range)
    local from, to = range:match("^(%x+)%-(%x+)$")
    return from and tonumber(to, 16) - tonumber(from, 16) or 0
end

-- Shared, writable mappings of one process that has the library: calls found(path, key) for each.
local function mapped(pid, found)
    local file = io.open("/proc/" .. pid .. "/maps", "r")
    if not file then
        return
    end
    local has_library, mappings = false, {}
    for line in file:lines() do
        local range, rights, device, inode, name =
            line:match("^(%x+%-%x+) (%S+) %x+ (%x+:%x+) (%d+)%s*(.*)$")
        if range and name:find("libtandem", 1, true) then
            has_library = true
        elseif range and rights == "rw-s" and inode ~= "0" and size_of(range) >= LEAST then
            mappings[#mappings + 1] = { range = range, key = device .. "/" .. inode }
        end
    end
    file:close()
    for _, mapping in ipairs(has_library and mappings or {}) do
        found("/proc/" .. pid .. "/map_files/" .. mapping.range, mapping.key)
    end
end

local function of_processes(found)
    for _, pid in ipairs(list("/proc")) do
        if pid:find("^%d+$") then
            mapped(pid, found)
        end
    end
end

-- -- Searching -----------------------------------------------------------------------------------

--- All segments of this host that may be opened.
-- @return an array of what describe() returns; and true when some process's could not be
function _M.all(runtime_dir)
    local segments, seen, refused = {}, {}, false
    of_processes(function(path, key)
        if not seen[key] then
            local segment, err = _M.describe(path)
            seen[key] = segment ~= nil
            segments[#segments + 1] = segment
            refused = refused or not segment and err:find("ermission denied", 1, true) ~= nil
                or not segment and err:find("not permitted", 1, true) ~= nil
        end
    end)
    -- Files that a process has mapped have been found by that, unless that was not permitted.
    local identities = {}
    for _, segment in ipairs(segments) do
        identities[segment.identity] = true
    end
    met(runtime_dir, function(path)
        local segment = _M.describe(path)
        if segment and not identities[segment.identity] then
            segments[#segments + 1] = segment
        end
    end)
    return segments, refused
end

local function several(name, matches)
    local lines = { "there are " .. #matches .. " caches named " .. name .. ": say which" }
    for _, segment in ipairs(matches) do
        lines[#lines + 1] = "  " .. segment.path .. "   " .. segment.identity
    end
    return table.concat(lines, "\n")
end

--- The path of the segment that is meant; or nil and why there is none.
-- @param segment a path, with a slash in it, or the name of a cache
function _M.path(segment, runtime_dir)
    if segment:find("/", 1, true) then
        return segment
    end
    local matches = {}
    local segments, refused = _M.all(runtime_dir)
    for _, found in ipairs(segments) do
        if found.name == segment then
            matches[#matches + 1] = found
        end
    end
    if #matches == 1 then
        return matches[1].path
    elseif #matches > 1 then
        return nil, several(segment, matches)
    end
    return nil, "no cache named " .. show.text(segment) .. " is in use on this host"
        .. (refused and ", that this user may look at: ask root, who may look into all processes"
            or "; a file is named with a slash in it: ./" .. show.text(segment))
end

return _M
