--- The application: GET answers a document, PUT changes it, in the database and in the cache.

local database = require "e2e.database"
local numbers = require "lib.numbers"

local _M = {}

local cache, site

--- In init_by_lua: opens one of the caches.
-- @param of { redis = socket, ttl = seconds, memory = size, keys = how many documents }
function _M.init(name, of)
    site = of
    cache = require("e2e." .. name)(database, site)
end

--- Puts all documents into the cache, each with another part of its TTL left, as in a site that has
-- been running for long.
function _M.fill()
    local random = numbers.random(1)
    for id = 1, site.keys do
        local key = tostring(id)
        assert(cache.write(key, database.write(key), random() * site.ttl + 0.001))
    end
    ngx.print(site.keys)
end

function _M.serve()
    local id = ngx.var.id
    local document
    if ngx.req.get_method() == "PUT" then
        document = database.write(id)
        assert(cache.write(id, document))
    else
        document = cache.read(id)
    end
    ngx.header["Content-Length"] = #document
    ngx.print(document)
end

function _M.loads()
    ngx.print(database.loads())
end

return _M
