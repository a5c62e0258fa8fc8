--- Recorded traces and their reference, from the folder of TANDEM_TRACES.

local ffi = require "ffi"

local synthetic = require "lib.synthetic"

local _M = {}

local FILES = {
    { "web07", "gz" }, { "orm-busy", "xz" }, { "scarab-recs", "xz" }, { "cloudPhysicsIO", "gz" },
    { "adapt-size", "gz" }, { "lirs-loop", "gz" }, { "lirs-multi2", "gz" }, { "lirs-sprite", "gz" },
    { "synth-zipf" }, { "synth-zipf-ohw" },
}
local LONG = { ["orm-busy"] = true, ["scarab-recs"] = true, ["synth-zipf"] = true,
               ["synth-zipf-ohw"] = true }
local UNPACK = { gz = "gzip -dc", xz = "xz -dc" }

_M.ONLINE = { "LRU", "FIFO", "CLOCK", "SIEVE", "S3-FIFO", "ARC", "LIRS", "2Q", "W-TinyLFU", "LeCaR",
              "Cacheus" }

--- Names in the order of the reference: those in $BENCH_ONLY, or all, without the long ones when
-- quick.
function _M.names(quick)
    local names, only = {}, os.getenv("BENCH_ONLY")
    for _, file in ipairs(FILES) do
        if only and (" " .. only .. " "):find(" " .. file[1] .. " ", 1, true)
           or not only and not (quick and LONG[file[1]]) then
            names[#names + 1] = file[1]
        end
    end
    return names
end

-- Keys are numbered from 1 by first appearance; only that matters, and each key's text.
local function collect(each)
    local numbers, texts, count = {}, {}, 0
    local size, requests = 1048576, 0
    local order = ffi.new("int32_t[?]", size)
    each(function(key)
        local number = numbers[key]
        if not number then
            count = count + 1
            number = count
            numbers[key], texts[number] = number, tostring(key)
        end
        if requests == size then
            local larger = ffi.new("int32_t[?]", size * 2)
            ffi.copy(larger, order, size * 4)
            order, size = larger, size * 2
        end
        order[requests] = number
        requests = requests + 1
    end)
    return { order = order, requests = requests, unique = count, texts = texts }
end

--- A trace: { order = int32_t[requests] of key numbers, requests, unique, texts }, or nil when its
-- file is not there.
function _M.load(folder, name)
    for _, file in ipairs(FILES) do
        if file[1] == name then
            if not file[2] then
                return collect(function(fn) synthetic.each(name, fn) end)
            end
            local path = string.format("%s/%s.txt.%s", folder, name, file[2])
            if not io.open(path) then
                return nil
            end
            local pipe = assert(io.popen(UNPACK[file[2]] .. " '" .. path .. "'"))
            local trace = collect(function(fn)
                for line in pipe:lines() do
                    fn(line:match("^%S+"))
                end
            end)
            pipe:close()
            return trace
        end
    end
end

--- The reference: of[trace][percent] = { capacity, ratios = { algorithm = miss ratio } }; nil
-- when there is none.
function _M.reference(folder)
    local file = io.open(folder .. "/reference.csv")
    if not file then
        return nil
    end
    local of = {}
    for line in file:lines() do
        local trace, mode, percent, capacity, algorithm, params, _, _, ratio =
            line:match("^([^,]*),([^,]*),([^,]*),([^,]*),([^,]*),([^,]*),([^,]*),([^,]*),([^,]*)")
        if mode == "objects" then
            percent = tonumber(percent)
            of[trace] = of[trace] or {}
            local cell = of[trace][percent] or { capacity = tonumber(capacity), ratios = {} }
            of[trace][percent] = cell
            -- "default" parameters that cache nothing at all have another row beside them.
            if params ~= "default" then
                cell.ratios[algorithm] = tonumber(ratio)
            end
        end
    end
    file:close()
    for _, cells in pairs(of) do
        for _, cell in pairs(cells) do
            for _, algorithm in ipairs(_M.ONLINE) do
                local ratio = cell.ratios[algorithm]
                if ratio and (not cell.best or ratio < cell.best) then
                    cell.best, cell.winner = ratio, algorithm
                end
            end
        end
    end
    return of
end

return _M
