--- The database: a document of 2 KB for each number, and the version that was written last.  Asked
-- for one it takes 20 ms; what a write would take is left out, being the same with every cache.

local json = require "cjson"

local numbers = require "lib.numbers"

local LATENCY, BYTES = 0.02, 2048

local versions, counts = ngx.shared.versions, ngx.shared.counts

local _M = {}

local function document_of(id, version)
    local document = { id = id, version = version, text = "" }
    document.text = numbers.value(tonumber(id), BYTES - #json.encode(document))
    return json.encode(document)
end

function _M.read(id)
    assert(counts:incr("loads", 1, 0))
    ngx.sleep(LATENCY)
    return document_of(id, versions:get(id) or 0)
end

--- Changes a document.  Returns the new one.
function _M.write(id)
    return document_of(id, assert(versions:incr(id, 1, 0)))
end

--- How many documents have been asked for.
function _M.loads()
    return counts:get("loads") or 0
end

return _M
