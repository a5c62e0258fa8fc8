--- Caches with near tables, for specs: what gets a key into one, and what a hit was.

local tandem = require "resty.tandem"

local _M = {}

local count = 0

--- A cache of its own: an anonymous segment is that of its name.
function _M.fresh(opts)
    count = count + 1
    opts = opts or {}
    opts.memory = opts.memory or "2m"
    return assert(tandem.new("near-" .. count, opts))
end

--- Another object on a cache, without a near table.
function _M.without_near(cache, opts)
    opts = opts or {}
    opts.memory = opts.memory or "2m"
    opts.near = false
    return assert(tandem.new(cache.name, opts))
end

--- Gets a key so often that from now on the near table answers.
function _M.warm(cache, key)
    for _ = 1, 3 do
        cache:get(key)
    end
end

--- Sets new keys that are asked for again after a while, so that the policy does not just let them
-- pass.  Of 300 bytes, so that it is the bytes that run out.  also: called after each.
function _M.pass_through(cache, from, to, also)
    for i = from, to do
        cache:set("passing" .. i, ("x"):rep(300))
        cache:get("passing" .. i - 100)
        if also then
            also(i)
        end
    end
end

--- What fn adds to the counts of near hits and of hits in the segment.
function _M.hits_of(cache, fn)
    local before = cache:stats().memory
    fn()
    local after = cache:stats().memory
    return after.near_hits - before.near_hits, after.hits - before.hits
end

return _M
