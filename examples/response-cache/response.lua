--- A cache of an API's answers.  The API says for how long they may be remembered.  Past that they
-- are given for STALE more, while one request of all asks the API for a new one in the background;
-- with the old one's ETag, so that the API need not make again what has not changed.

local http = require "http"
local tandem = require "resty.tandem"

-- In seconds.  FRESH: if the API does not say; ABSENT: "404".
local FRESH, STALE, ABSENT = 10, 300, 5
local LONGEST_KEY = 4096

local _M = {}

local answers, api

--- To be called in init_by_lua*.  `server` has host and port.
function _M.open(redis, server)
    api = server
    answers = assert(tandem.new("answers", {
        memory = "64m", redis = redis, codec = "json", stale_ttl = STALE, neg_ttl = ABSENT,
        jitter = 0.1, -- what was asked for at one time does not end at one time
    }))
end

-- The seconds for which an answer may be remembered; less than 0: not at all.
local function lifetime(headers)
    local control = (headers["cache-control"] or ""):lower()
    if control:find("private", 1, true) or control:find("no%-") or headers["set-cookie"]
            or headers["vary"] then
        return -1
    end
    local age = tonumber(control:match("s%-maxage=(%d+)") or control:match("max%-age=(%d+)"))
        or FRESH
    return age > 0 and age or -1
end

-- The loader.  It may run in a timer, where there is no request: all that it knows is the URI.
local function ask(uri)
    local _, _, old = answers:peek(uri, { stale = true })
    local status, body, headers = http.request(api, "GET", uri,
        { ["If-None-Match"] = old and old.tag })
    if status == 304 and old then
        return old, nil, lifetime(headers)
    elseif status == 200 then
        return { body = body, kind = headers["content-type"], tag = headers["etag"] }, nil,
            lifetime(headers)
    elseif status == 404 then
        return nil -- remembered, too
    end
    return nil, "API: " .. (status and "status " .. status or body) -- not remembered
end

-- May all users have the answer to this request?
local function is_public()
    return ngx.req.get_method() == "GET" and not ngx.var.http_authorization
        and not ngx.var.http_cookie and #ngx.var.request_uri <= LONGEST_KEY
end

local function send(answer, tier)
    ngx.header["X-Cache"] = tier
    ngx.header["Content-Type"] = answer.kind
    ngx.header["ETag"] = answer.tag
    if answer.tag and ngx.var.http_if_none_match == answer.tag then
        return ngx.exit(304)
    end
    ngx.print(answer.body)
end

--- To be called in content_by_lua*.  `otherwise`: the location of what is not to be remembered.
function _M.serve(otherwise)
    if not is_public() then
        return ngx.exec(otherwise)
    end
    local uri = ngx.var.request_uri
    local answer, err, tier = answers:fetch(uri, ask, uri)
    if err then
        ngx.log(ngx.ERR, err)
        return ngx.exit(502)
    end
    if not answer then
        return ngx.exit(404)
    end
    return send(answer, tier)
end

return _M
