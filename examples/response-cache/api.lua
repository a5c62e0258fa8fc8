--- Plays the API, so that the example runs alone: news that change when somebody posts others.

local asked = ngx.shared.asked

local MAX_AGE = 1 -- seconds

local _M = {}

local function not_found()
    ngx.status = 404
    ngx.say("not found")
end

--- GET /news, POST /news; and /mine, which differs from user to user.
function _M.answer()
    if ngx.req.get_method() == "POST" then
        ngx.say((asked:incr("version", 1, 1)))
        return
    end
    if ngx.var.uri == "/mine" then
        ngx.header["Cache-Control"] = "private"
        ngx.say("yours, ", (asked:incr("mine", 1, 0)))
        return
    elseif ngx.var.uri ~= "/news" then
        asked:incr("absent", 1, 0)
        return not_found()
    end
    local version = asked:get("version") or 1
    local tag = '"' .. version .. '"'
    ngx.header["Cache-Control"] = "max-age=" .. MAX_AGE
    ngx.header["ETag"] = tag
    if ngx.var.http_if_none_match == tag then
        asked:incr("unchanged", 1, 0)
        return ngx.exit(304)
    end
    asked:incr("made", 1, 0)
    ngx.say("news, version ", version)
end

--- How often it had to make an answer, to say that nothing has changed, or that there is nothing.
function _M.tell()
    ngx.say(asked:get("made") or 0, " made, ", asked:get("unchanged") or 0, " unchanged, ",
        asked:get("absent") or 0, " absent")
end

return _M
