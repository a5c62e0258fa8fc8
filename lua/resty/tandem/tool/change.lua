--- tandem delete, tandem clear.

local ffi = require "ffi"

local C = require("resty.tandem.lib").C
local fail = require "resty.tandem.tool.fail"
local input = require "resty.tandem.tool.input"
local json = require "resty.tandem.tool.json"
local segments = require "resty.tandem.tool.segment"
local show = require "resty.tandem.tool.show"
local terminal = require "resty.tandem.tool.terminal"

local result = ffi.new "tandem_result"

-- A write that only memory has, Redis having been away, would be lost with the entry.
local function refuse_untold(cache, key, options)
    if not options.redis and C.tandem_is_untold(cache.handle, key, #key, result) == C.TANDEM_OK then
        fail.failed("Redis has not been told of the latest write of this key, which would be "
                    .. "lost: give --redis")
    end
end

local function delete(segment, cache, key, options)
    refuse_untold(cache, key, options)
    local was = segment:look(key)
    local ok, err = cache:delete(key)
    if err then
        fail.failed(show.text(err))
    end
    return ok and was ~= nil and was.state ~= "absent" and 1 or 0
end

local function ask(segment, options)
    local where = options.redis and " from memory and Redis" or " from memory"
    if options.yes then
        return true
    elseif not terminal.can_ask() then
        fail.misused("clear asks first, and there is nobody to ask: give --yes")
    end
    io.stderr:write(("Remove all keys of %s%s? [y/N] "):format(show.text(segment.name, 40), where))
    return (io.read("*l") or ""):lower():find("^y") ~= nil
end

local function clear(cache, options)
    local untold = options.redis and 0 or C.tandem_untold(cache.handle)
    if untold > 0 then
        fail.failed(("Redis has not been told of %d writes yet, which would be lost: give --redis")
                    :format(untold))
    end
    local ok, err = cache:clear()
    if not ok then
        fail.failed(show.text(err))
    end
end

return function(words, options, command)
    local segment = segments.open(words[1], options)
    if command == "clear" and not ask(segment, options) then
        terminal.complain("nothing was changed")
        return 1
    end
    local cache = segment:open_cache(options)
    local entries = segment:stats().entries
    local count = command == "clear" and entries
        or delete(segment, cache, input.key(words[2]), options)
    if command == "clear" then
        clear(cache, options)
    end
    cache:close()
    if options.json then
        terminal.say("%s", json.encode({ removed = count, redis = options.redis ~= nil }))
    elseif command == "clear" then
        terminal.complain(("%s entries removed from memory"):format(show.count(count)))
    elseif count == 0 then
        terminal.complain("it was not in memory")
    end
    if segment.with_redis and not options.redis then
        terminal.complain("Redis was not told: what it has comes back with the next read (--redis)")
    end
    return command == "delete" and count == 0 and not options.redis and 1 or 0
end
