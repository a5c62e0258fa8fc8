--- How many entries, and how many bytes of values, caches of equal size hold.

local numbers = require "lib.numbers"

-- Values from 10 B to 10 KB, each order of magnitude alike.
local function mixed_size(random)
    return math.floor(10 * 1000 ^ random())
end

local function each_key(count, fn, size_of)
    for i = 1, count do
        fn(string.format("key:%012d", i), size_of(i), i)
    end
end

local function fill(cache, count, size_of)
    local text = string.rep("0123456789abcdef", 700)
    local done = 0
    each_key(count, function(key, size)
        if cache:set(key, text:sub(1, size)) then
            done = done + 1
        end
    end, size_of)
    return done
end

-- What is there of the keys, by what answers without marking it as used.
local function held(there, count, size_of)
    local entries, bytes = 0, 0
    each_key(count, function(key, size)
        if there(key) then
            entries, bytes = entries + 1, bytes + size
        end
    end, size_of)
    return { entries = entries, value_bytes = bytes }
end

local function ours(name, count, size_of, opts)
    opts.near = false
    local cache = require("resty.tandem").new(name, opts)
    fill(cache, count, size_of)
    local result = held(function(key) return cache:exists(key) end, count, size_of)
    result.memory = cache:stats().memory
    cache:close()
    return result
end

local function both(name, size, count, size_of)
    local tandem, shdict = ours(name, count, size_of, { memory = size }), ngx.shared[name]
    fill(shdict, count, size_of)
    return {
        tandem = tandem,
        shdict = held(function(key) return shdict:ttl(key) end, count, size_of),
        memory = tandem.memory,
    }
end

-- Where we are told what an entry has on average.
local function told(size, count, sizes)
    local sum = 0
    for i = 1, count do
        sum = sum + 16 + sizes[i]
    end
    return ours("told", count, function(i) return sizes[i] end,
                { memory = size, entry_size = math.floor(sum / count) })
end

return function(args)
    local sizes, random = {}, numbers.random(7)
    for i = 1, args.mixed do
        sizes[i] = mixed_size(random)
    end
    local result = {
        small = both("small", args.size, args.small, function() return 100 end),
        mixed = both("mixed", args.size, args.mixed, function(i) return sizes[i] end),
        told = told(args.size, args.mixed, sizes),
    }

    -- The same keys again and again, each time another length: what is replaced is dead until its
    -- log comes by.
    local cache = require("resty.tandem").new("replaced", { memory = args.size, near = false })
    local text = string.rep("0123456789abcdef", 700)
    for i = 1, args.replaced do
        local key = string.format("key:%012d", math.floor(random() * args.small / 4))
        cache:set(key, text:sub(1, 50 + i % 100))
    end
    result.replaced = cache:stats().memory
    return result
end
