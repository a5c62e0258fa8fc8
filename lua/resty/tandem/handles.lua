--- C handles: opening them, sharing them between Lua objects, closing them.
--
-- A core is one tandem_cache with one set of C options.  Objects with equal options share it, so
-- that `new` in every request costs a table.  It is closed when the last object is, but not while
-- a call is under way; a core whose objects, or calls, were dropped without a word is closed by
-- the collector.

local ffi = require "ffi"

local C = require("resty.tandem.lib").C
local each = require "resty.tandem.each"
local host = require "resty.tandem.host"
local near = require "resty.tandem.near"
local text = require "resty.tandem.text"

local concat = table.concat
local format = string.format
local gsub = string.gsub
local next = next
local pairs = pairs
local setmetatable = setmetatable
local show = text.show
local sort = table.sort
local str = ffi.string
local tostring = tostring

local OK = C.TANDEM_OK
local EINVAL = C.TANDEM_EINVAL

local ERROR_BYTES = 512
local REPLICAS = { fallback = 1, prefer = 2 }

local _M = {}

-- name -> { name=, identity = option -> value, text = tandem_identity(), cores = signature -> core,
--           told = a line about tracking has been logged, told_trouble = the last one about Redis }
local caches = {}

-- -- Identity ------------------------------------------------------------------------------------

local IDENTITY = { "memory", "entry_size", "path", "redis", "prefix", "codec", "tags" }

local function identity_of(checked)
    return {
        memory = checked.memory,
        entry_size = checked.entry_size,
        path = checked.path,
        redis = checked.redis and "a Redis" or nil,
        prefix = checked.redis and checked.prefix or nil,
        codec = checked.codec.name,
        tags = checked.tags,
    }
end

local function conflict(name, option, theirs, ours)
    return format('cache "%s" is open in this Lua VM with another opts.%s: it has %s, got %s', name,
                  option, theirs, ours)
end

local function find_conflict(name, open, identity)
    for _, option in ipairs(IDENTITY) do
        local theirs, ours = open.identity[option], identity[option]
        if theirs ~= ours then
            return conflict(name, option, show(theirs), show(ours))
        end
    end
end

-- What may be or hold a secret -> its number, which is no secret.
local numbers, last_number = {}, 0

local function number_of(secret)
    if secret == nil then
        return 0
    elseif not numbers[secret] then
        last_number = last_number + 1
        numbers[secret] = last_number
    end
    return numbers[secret]
end

-- Two handles with equal signatures are interchangeable.  A cache object shows its own to whoever
-- dumps it.
local function signature(checked)
    local redis = checked.redis or {}
    local tls = redis.tls or {}
    local parts = {}
    for _, value in ipairs({
        tostring(checked.memory), tostring(checked.entry_size), tostring(checked.path),
        tostring(checked.codec.name),
        tostring(number_of(redis.url)), tostring(redis.username),
        tostring(number_of(redis.password)), tostring(redis.client_name), checked.prefix,
        tostring(tls.ca), tostring(tls.cert), tostring(number_of(tls.key)),
        tostring(tls.server_name), tostring(tls.verify), tostring(redis.address_map),
        tostring(redis.replicas),
        tostring(checked.memory_ttl),
        tostring(checked.max_stale), tostring(checked.connect_timeout), tostring(checked.timeout),
        checked.on_redis_error, checked.write, checked.replay, tostring(checked.tracking),
        tostring(checked.runtime_dir), tostring(checked.stale_ttl), tostring(checked.tags),
    }) do
        parts[#parts + 1] = #value .. ":" .. value
    end
    return concat(parts)
end

-- -- Opening -------------------------------------------------------------------------------------

-- The struct points into Lua strings: checked has to live until tandem_open has returned.
local function options_struct(checked, mailbox, rendezvous)
    local o = ffi.new "tandem_options"
    local redis = checked.redis or {}
    local tls = redis.tls or {}

    C.tandem_options_init(o)
    o.name = checked.name
    o.memory_bytes = checked.memory
    o.entry_size = checked.entry_size or 0
    o.path = checked.path
    o.rendezvous = rendezvous
    o.runtime_dir = checked.runtime_dir
    o.codec = checked.codec.name
    o.redis_url = redis.url
    o.redis_username = redis.username
    o.redis_password = redis.password
    o.redis_client_name = redis.client_name
    o.redis_tls_unverified = tls.verify == false and 1 or 0
    o.redis_tls_ca = tls.ca
    o.redis_tls_cert = tls.cert
    o.redis_tls_key = tls.key
    o.redis_tls_server_name = tls.server_name
    o.redis_address_map = redis.address_map
    o.redis_replicas = REPLICAS[redis.replicas] or 0
    o.prefix = checked.prefix
    o.prefix_length = #checked.prefix
    o.memory_ttl_ms = checked.memory_ttl
    o.max_stale_ms = checked.max_stale
    o.stale_ttl_ms = checked.stale_ttl
    o.connect_timeout_ms = checked.connect_timeout
    o.timeout_ms = checked.timeout
    o.fail = checked.on_redis_error == "fail" and 1 or 0
    o.write_behind = checked.write == "behind" and 1 or 0
    o.replay_delete = checked.replay == "delete" and 1 or 0
    o.tracking = checked.tracking and 1 or 0
    o.tags = checked.tags and 1 or 0
    o.mailbox = mailbox
    return o
end

-- Only to find the core while it is there: a finalizer that refers to what owns its cdata would
-- keep that for ever.
local core_of = setmetatable({}, { __mode = "kv" })

local function close_near(core)
    for _, table_of in each(core.near) do
        near.close(table_of)
    end
end

-- The collector's way of closing.  When the Lua VM is closed, this runs while the objects are still
-- there, and before the __gc of the application's userdata, which may use the cache.
local function collect_handle(handle)
    local core = core_of[handle]
    if core then
        core.handle = nil
        for object in each(core.objects) do
            object.handle, object.near = nil, nil
        end
        close_near(core)
    end
    C.tandem_close(handle)
end

local function open_handle(checked)
    host.use_runtime_dir(checked.runtime_dir)

    local mailbox, no_mailbox = host.mailbox()
    if not mailbox then
        return nil, no_mailbox
    end
    local rendezvous = host.rendezvous()
    local out, err = ffi.new "tandem_cache *[1]", ffi.new("char[?]", ERROR_BYTES)
    local o = options_struct(checked, mailbox, rendezvous)
    -- attach: the file of a segment that others have made, for the tool.
    local status = checked.attach and C.tandem_attach(checked.attach, o, out, err, ERROR_BYTES)
        or C.tandem_open(o, out, err, ERROR_BYTES)
    if status ~= OK then
        -- The option is what the caller knows it by.
        local sentence = gsub(str(err), "^redis URL:", "opts.redis:")
        sentence = gsub(sentence, "^address_map([: ])", "opts.redis.address_map%1")
        return nil, (gsub(sentence, "^tls([.: ])", "opts.redis.tls%1")), status == EINVAL
    end
    return ffi.gc(out[0], collect_handle)
end

local function close_core(core)
    local handle = core.handle
    if handle then
        core.handle = nil
        if core.open.cores[core.signature] == core then
            core.open.cores[core.signature] = nil
        end
        ffi.gc(handle, nil)
        close_near(core)
        C.tandem_close(handle)
    end
end

local function new_core(checked, open, identity, wanted)
    local handle, err, misuse = open_handle(checked)
    if not handle then
        return nil, err, misuse
    end
    local identity_text = str(C.tandem_identity(handle))

    if not open then
        open = { name = checked.name, identity = identity, text = identity_text, told = false,
                 cores = setmetatable({}, { __mode = "v" }) }
        caches[checked.name] = open
    elseif open.text ~= identity_text then
        ffi.gc(handle, nil)
        C.tandem_close(handle)
        return nil, conflict(checked.name, "redis", open.text, identity_text), true
    end
    local core = { handle = handle, open = open, signature = wanted, users = 0, busy = 0,
                   has_others = checked.redis
                       and (checked.redis.is_cluster or checked.redis.is_sentinel),
                   closing = false, near = {}, paused = {}, paused_count = 0,
                   load_ms = nil, objects = setmetatable({}, { __mode = "k" }) }
    open.cores[wanted] = core
    core_of[handle] = core
    return core
end

--- The core for these checked options, with one user more.
-- @return a core: its `handle`, and `objects`, a set of the tables with a copy of that; or nil,
-- err, and true when it is the caller's mistake
function _M.open(checked)
    local open, identity = caches[checked.name], identity_of(checked)
    if open and not next(open.cores) then
        open = nil
    end
    if open then
        local problem = find_conflict(checked.name, open, identity)
        if problem then
            return nil, problem, true
        end
    end

    local wanted = signature(checked)
    local core = open and open.cores[wanted]
    if not core or core.closing then
        local err, misuse
        core, err, misuse = new_core(checked, open, identity, wanted)
        if not core then
            return nil, err, misuse
        end
    end
    core.users = core.users + 1
    if host.begins_worker() then
        C.tandem_attend(core.handle)
    end
    return core
end

--- The near table of a core that has these limits: objects share it as they share the handle.
-- @param limits entries=, bytes=; or false
-- @param frozen are its values frozen?
function _M.near(core, limits, frozen)
    if not limits then
        return nil
    end
    local which = limits.entries .. ":" .. limits.bytes .. (frozen and ":frozen" or "")
    local found = core.near[which]
    if not found then
        found = near.new(core.handle, limits)
        core.near[which] = found
    end
    return found
end

--- The caches that are open in this Lua VM.
-- @return an array of cores, one for each name, by name
function _M.open_ones()
    local list = {}
    for _, open in pairs(caches) do
        local _, core = next(open.cores)
        if core and core.handle then
            list[#list + 1] = core
        end
    end
    sort(list, function(a, b) return a.open.name < b.open.name end)
    return list
end

-- -- Using and closing ---------------------------------------------------------------------------

--- To be called before a stretch that may yield while it uses the handle; leave() after it.
function _M.enter(core)
    core.busy = core.busy + 1
end

function _M.leave(core)
    core.busy = core.busy - 1
    if core.closing and core.busy == 0 then
        close_core(core)
    end
end

--- One user less.
function _M.close(core)
    core.users = core.users - 1
    if core.users == 0 then
        core.closing = true
        if core.busy == 0 then
            close_core(core)
        end
    end
end

return _M
