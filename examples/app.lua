--- What nginx.conf serves: product pages, from a cache in two tiers.

local tandem = require "resty.tandem"

local catalogue = require "catalogue"
local clock_us = require "clock"

local _M = {}

local cache

--- To be called in init_by_lua*, so that all workers share one memory.
function _M.open(opts)
    local err
    cache, err = tandem.new("catalogue", opts)
    if not cache then
        error("cannot open the cache: " .. err)
    end
end

-- The document, and what it came from; or nil when there is no such product.
local function find(id)
    local document, err, tier = cache:get(id)
    if document then
        return document, tier
    end
    if err then
        -- Only Redis could know and cannot be asked.  A document can be made all the same.
        ngx.log(ngx.WARN, "product ", id, ": ", err)
    end

    document = catalogue.render(id)
    if not document then
        return nil
    end
    local stored, problem = cache:set(id, document)
    if not stored then
        ngx.log(ngx.WARN, "product ", id, " is not cached: ", problem)
    elseif problem then
        ngx.log(ngx.INFO, "product ", id, ": ", problem)
    end
    return document, "rendered"
end

--- GET /products/NUMBER
function _M.product()
    local id = ngx.var.uri:match("^/products/(%d+)$")
    if not id or #id > 9 then
        return ngx.exit(ngx.HTTP_NOT_FOUND)
    end

    local started = clock_us()
    local document, tier = find(id)
    local took = clock_us() - started
    if not document then
        return ngx.exit(ngx.HTTP_NOT_FOUND)
    end

    ngx.header["Content-Type"] = "application/json"
    ngx.header["Content-Length"] = #document
    ngx.header["X-Tier"] = tier
    ngx.header["X-Took-Us"] = ("%.1f"):format(took)
    ngx.header["X-Worker"] = ngx.worker.pid()
    ngx.print(document)
end

--- GET /stats: one counter a line.
function _M.stats()
    local lines = {}
    local function add(label, values)
        for name, value in pairs(values) do
            if type(value) == "table" then
                add(label .. name .. ".", value)
            else
                lines[#lines + 1] = label .. name .. " " .. tostring(value)
            end
        end
    end
    add("", cache:stats())
    table.sort(lines)
    local text = table.concat(lines, "\n") .. "\n"
    ngx.header["Content-Type"] = "text/plain"
    ngx.header["Content-Length"] = #text
    ngx.print(text)
end

return _M
