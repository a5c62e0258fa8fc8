-- tandem: memory and Redis, all options but the TTL and the size as they are by default.

local tandem = require "resty.tandem"

return function(database, site, stale_ttl)
    local cache = assert(tandem.new("e2e", {
        memory = site.memory, redis = "unix://" .. site.redis, ttl = site.ttl,
        stale_ttl = stale_ttl,
    }))
    return {
        read = function(id)
            return assert(cache:fetch(id, database.read, id))
        end,
        write = function(id, document, ttl)
            return cache:set(id, document, ttl)
        end,
    }
end
