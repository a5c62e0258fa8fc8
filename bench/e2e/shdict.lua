-- ngx.shared.DICT with a TTL in front of the database.  What is missing is loaded by everybody who
-- misses it.

local dict = ngx.shared.documents

return function(database, site)
    return {
        read = function(id)
            local document = dict:get(id)
            if not document then
                document = database.read(id)
                assert(dict:set(id, document, site.ttl))
            end
            return document
        end,
        write = function(id, document, ttl)
            return dict:set(id, document, ttl or site.ttl)
        end,
    }
end
