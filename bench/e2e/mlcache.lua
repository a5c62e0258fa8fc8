-- lua-resty-mlcache: as many values in each worker as tandem's near table has, one loader a host,
-- and what a worker writes told to the others, which look for it at each read.

local mlcache = require "resty.mlcache"

return function(database, site)
    local cache = assert(mlcache.new("e2e", "documents", {
        lru_size = 10000, ttl = site.ttl, ipc_shm = "ipc",
    }))
    return {
        read = function(id)
            assert(cache:update())
            return assert(cache:get(id, nil, database.read, id))
        end,
        write = function(id, document, ttl)
            return cache:set(id, ttl and { ttl = ttl }, document)
        end,
    }
end
