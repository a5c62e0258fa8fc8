--- The two synthetic traces, request for request what gen_synthetic.py beside the recorded ones
-- writes: Python's generator of random numbers is MT19937 (Matsumoto, Nishimura, 1998).

local bit = require "bit"
local ffi = require "ffi"

pcall(ffi.cdef, "double pow(double x, double y);")

local band, bor, bxor, lshift, rshift, tobit = bit.band, bit.bor, bit.bxor, bit.lshift, bit.rshift,
                                               bit.tobit
local C = ffi.C

local N, M, SEED = 624, 397, 20240607
local REQUESTS = 5000000

local _M = {}

-- The low 32 bits of the product of two 32-bit numbers.
local function times(a, b)
    local low, high = band(b, 0xffff), rshift(b, 16)
    a = a % 4294967296
    return tobit((a * low + (a * high % 65536) * 65536) % 4294967296)
end

local function seeded(seed)
    local state = ffi.new("int32_t[?]", N)
    state[0] = tobit(19650218)
    for i = 1, N - 1 do
        local last = state[i - 1]
        state[i] = tobit(times(bxor(last, rshift(last, 30)), 1812433253) + i)
    end
    local i = 1
    for _ = 1, N do
        local last = state[i - 1]
        state[i] = tobit(bxor(state[i], times(bxor(last, rshift(last, 30)), 1664525)) + seed)
        i = i + 1
        if i >= N then
            state[0], i = state[N - 1], 1
        end
    end
    for _ = 1, N - 1 do
        local last = state[i - 1]
        state[i] = tobit(bxor(state[i], times(bxor(last, rshift(last, 30)), 1566083941)) - i)
        i = i + 1
        if i >= N then
            state[0], i = state[N - 1], 1
        end
    end
    state[0] = tobit(0x80000000)
    return state
end

-- A function that returns what Python's random.Random(seed).random() would.
local function random_of(seed)
    local state, at = seeded(seed), N

    local function renew()
        for k = 0, N - 1 do
            local y = bor(band(state[k], 0x80000000), band(state[(k + 1) % N], 0x7fffffff))
            local odd = band(y, 1) == 1 and 0x9908b0df or 0
            state[k] = bxor(state[(k + M) % N], rshift(y, 1), odd)
        end
        at = 0
    end

    local function bits()
        if at >= N then
            renew()
        end
        local y = state[at]
        at = at + 1
        y = bxor(y, rshift(y, 11))
        y = bxor(y, band(lshift(y, 7), 0x9d2c5680))
        y = bxor(y, band(lshift(y, 15), 0xefc60000))
        return bxor(y, rshift(y, 18))
    end

    return function()
        local a, b = rshift(bits(), 5), rshift(bits(), 6)
        return (a * 67108864 + b) / 9007199254740992
    end
end

local function zipf_of(random, n, alpha)
    local sums = ffi.new("double[?]", n)
    local sum = 0
    for i = 1, n do
        sum = sum + C.pow(i, -alpha)
        sums[i - 1] = sum
    end
    return function()
        local wanted, low, high = random() * sum, 0, n
        while low < high do
            local middle = rshift(low + high, 1)
            if sums[middle] < wanted then
                low = middle + 1
            else
                high = middle
            end
        end
        return low + 1
    end
end

--- Calls fn with each key of "synth-zipf" or "synth-zipf-ohw".
function _M.each(name, fn)
    local random = random_of(SEED)
    if name == "synth-zipf" then
        local draw = zipf_of(random, 1000000, 0.9)
        for _ = 1, REQUESTS do
            fn(draw())
        end
        return
    end
    local draw, fresh = zipf_of(random, 200000, 0.9), 1000000000
    for _ = 1, 100 do
        for _ = 1, 40000 do
            if random() < 0.10 then
                fresh = fresh + 1
                fn(fresh)
            else
                fn(draw())
            end
        end
        for _ = 1, 10000 do
            fresh = fresh + 1
            fn(fresh)
        end
    end
end

return _M
