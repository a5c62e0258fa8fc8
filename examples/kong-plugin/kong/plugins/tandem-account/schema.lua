--- What the plugin's configuration may have.

local typedefs = require "kong.db.schema.typedefs"

return {
    name = "tandem-account",
    fields = {
        { protocols = typedefs.protocols_http },
        { config = {
            type = "record",
            fields = {
                { redis = { type = "string", required = true, referenceable = true } },
                { directory = { type = "string", required = true } },
                { ttl = { type = "number", default = 60, gt = 0 } },
            },
        } },
    },
}
