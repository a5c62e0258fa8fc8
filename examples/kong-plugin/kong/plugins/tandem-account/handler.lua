--- A plugin for Kong: a directory is asked who has the key in the header "apikey", once for all
-- workers and nodes, and the service is told in the header "X-Account".
--
-- A skeleton: tests run it with stand-ins for what it uses of Kong (../../../stand-in), not in
-- Kong.  There it is enabled in kong.conf, with lua-resty-tandem installed:
--
--     plugins = bundled,tandem-account
--     lua_package_path = /path/to/kong-plugin/?.lua;;

local http = require "resty.http"
local tandem = require "resty.tandem"

local Account = { PRIORITY = 1000, VERSION = "0.1.0" }

-- Cheap when it is open already.  Another configuration is another cache, as requests may still use
-- the former; it goes with the worker.
local function open(conf)
    local name = "account-" .. ngx.crc32_long(conf.redis .. " " .. conf.ttl)
    return assert(tandem.new(name, {
        memory = "8m", redis = conf.redis, prefix = "account:", ttl = conf.ttl, stale_ttl = 600,
    }))
end

-- The loader: an account; nil if there is none, which is remembered; or nil and an error, which is
-- not.
local function ask(directory, key)
    local answer, err = http.new():request_uri(directory .. ngx.escape_uri(key))
    if not answer then
        return nil, err
    elseif answer.status == 404 then
        return nil
    elseif answer.status ~= 200 then
        return nil, "status " .. answer.status
    end
    return answer.body
end

function Account:access(conf) -- luacheck: no self
    local key = kong.request.get_header("apikey")
    if not key then
        return kong.response.exit(401, { message = "No API key" })
    end
    -- A hash, for keys of a cache are seen by many.
    local account, err = open(conf):fetch(ngx.encode_base64(ngx.sha1_bin(key)), ask, conf.directory,
        key)
    if err then
        kong.log.err("directory: ", err)
        return kong.response.exit(503, { message = "Try again" })
    elseif not account then
        return kong.response.exit(401, { message = "Unknown API key" })
    end
    kong.service.request.set_header("X-Account", account)
end

return Account
