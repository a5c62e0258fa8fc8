-- tandem with stale_ttl: a value past its TTL is answered while a new one is made.

return function(database, site)
    return require("e2e.tandem")(database, site, site.ttl)
end
