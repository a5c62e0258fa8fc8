--- Loaded in nginx by phases_spec: calls every method in a phase and keeps what it answered.

local cjson = require "cjson"
local show = require "spec.support.show"
local tandem = require "resty.tandem"

local _M = { results = {} }

local cache, walked, memory

--- In init_by_lua: opens a cache with this Redis, a second one to be walked and emptied, and one
-- in memory only.
function _M.open(url)
    cache = tandem.new("phases", { redis = url, prefix = "p:", tracking = false, timeout = 5 })
    walked = tandem.new("walked", { redis = url, prefix = "w:", tracking = false, timeout = 5 })
    memory = tandem.new("memory", { memory = "1m" })
end

local function pack(...)
    return { n = select("#", ...), ... }
end

-- Trailing nils left out, an error that is raised told as such.
local function call(object, method, ...)
    local answers = pack(pcall(object[method], object, ...))
    if not answers[1] then
        return "RAISED " .. tostring(answers[2])
    end
    local n = answers.n
    while n > 2 and answers[n] == nil do
        n = n - 1
    end
    return show(unpack(answers, 2, n))
end

-- What an iterator gives, in one text.
local function scanned(object, pattern)
    local list = {}
    local ok, problem = pcall(function()
        for key, err in object:scan(pattern) do
            list[#list + 1] = show(key, err)
        end
    end)
    return ok and table.concat(list, ", ") or "RAISED " .. tostring(problem)
end

--- Calls everything, once a phase.
function _M.run(phase)
    if _M.results[phase] then
        return
    end
    local r = {}
    _M.results[phase] = r
    local cold, key = "cold:" .. phase, "mine:" .. phase

    r.phase = ngx.get_phase()

    r.memory_set = call(memory, "set", "key", phase)
    r.memory_get = call(memory, "get", "key")
    r.memory_keys = call(memory, "keys")
    r.memory_get_multi = call(memory, "get_multi", { "key", "absent" })
    r.memory_add = call(memory, "add", "key", phase)
    r.memory_replace = call(memory, "replace", "key", phase)
    r.memory_incr = call(memory, "incr", "n", 1, 2)
    r.memory_expire = call(memory, "expire", "n", 100)
    r.memory_touch = call(memory, "touch", "n")
    r.memory_peek = call(memory, "peek", "n")
    r.memory_scan = scanned(memory, "k*")
    r.memory_delete = call(memory, "delete", "key")
    r.memory_miss = call(memory, "get", "key")
    r.memory_clear = call(memory, "clear")

    r.hit = call(cache, "get", "hot")
    r.hit_exists = call(cache, "exists", "hot")
    r.hit_multi = call(cache, "get_multi", { "hot" })

    r.get = call(cache, "get", cold)
    r.get_again = call(cache, "get", cold)
    r.exists = call(cache, "exists", cold .. ":2")
    r.ttl = call(cache, "ttl", cold .. ":2")
    r.get_multi = call(cache, "get_multi", { cold .. ":3", "hot" })
    r.exists_multi = call(cache, "exists_multi", { cold .. ":3" })

    r.set = call(cache, "set", key, phase)
    r.set_multi = call(cache, "set_multi", { [key .. ":a"] = phase, [key .. ":b"] = phase })
    r.delete = call(cache, "delete", cold .. ":4")
    r.delete_multi = call(cache, "delete_multi", { cold .. ":5" })
    r.add = call(cache, "add", key .. ":c", phase)
    r.replace = call(cache, "replace", key .. ":none", phase)
    r.incr = call(cache, "incr", key .. ":n", 1, 2)
    r.expire = call(cache, "expire", cold .. ":3", 1000)
    r.touch = call(cache, "touch", cold .. ":2")
    r.peek = call(cache, "peek", "hot")

    local loads = 0
    local function loader()
        loads = loads + 1
        return phase
    end
    r.memory_fetch = call(memory, "fetch", "fetched:" .. phase, nil, loader)
    r.fetch = call(cache, "fetch", key .. ":f", nil, loader)
    r.fetch_hit = call(cache, "fetch", "hot", nil, loader)
    call(memory, "clear")
    r.loads = show(loads)

    call(walked, "set", "key", "value")
    r.keys = call(walked, "keys", "k*")
    r.scan = scanned(walked, "k*")
    r.delete_by_pattern = call(walked, "delete_by_pattern", "none*")
    r.clear = call(walked, "clear")
    r.cleanup_expired = call(cache, "cleanup_expired")
    r.stats = type(cache:stats())
end

--- All results as JSON: phase -> what -> text.
function _M.dump()
    return cjson.encode(_M.results)
end

return _M
