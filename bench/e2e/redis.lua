-- lua-resty-redis as its manual has it: a connection from the pool for each request, and the value
-- with a TTL.  What is missing is loaded by everybody who misses it.

local redis = require "nginx.redis"

local POOL = { idle_ms = 10000, size = 100 }

return function(database, site)
    local function with_redis(fn, ...)
        local client = redis:new()
        client:set_timeout(1000)
        assert(client:connect("unix:" .. site.redis))
        local value = assert(fn(client, ...))
        client:set_keepalive(POOL.idle_ms, POOL.size)
        return value
    end

    local function get(client, id)
        return client:get("doc:" .. id)
    end

    local function set(client, id, document, ttl)
        return client:set("doc:" .. id, document, "PX", math.ceil((ttl or site.ttl) * 1000))
    end

    return {
        read = function(id)
            local document = with_redis(get, id)
            if document == ngx.null then
                document = database.read(id)
                with_redis(set, id, document)
            end
            return document
        end,
        write = function(id, document, ttl)
            return with_redis(set, id, document, ttl)
        end,
    }
end
