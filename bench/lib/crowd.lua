--- Many requests at once for a key that nobody has, by curl.

local _M = {}

--- Asks all hosts at once.
-- @param hosts what lib/host.lua starts; each answers a line: a tier, and milliseconds
-- @param requests of each
-- @param query of /fetch
-- @return how many loaders ran, and the longest time
function _M.ask(hosts, requests, query)
    local pipes, answers, loads, worst = {}, 0, 0, 0
    for i, running in ipairs(hosts) do
        pipes[i] = assert(io.popen(("curl -sZ --parallel-immediate --parallel-max %d --unix-socket "
            .. "%s/http.sock 'http://host/fetch?%s&n=[1-%d]' 2>/dev/null"):format(
            requests, running.folder, query, requests)))
    end
    for _, pipe in ipairs(pipes) do
        for line in pipe:lines() do
            local tier, ms = line:match("^(%a+) ([%d.]+)$")
            assert(tier, line)
            answers, worst = answers + 1, math.max(worst, tonumber(ms))
            loads = loads + (tier == "loader" and 1 or 0)
        end
        pipe:close()
    end
    assert(answers == #hosts * requests, answers .. " answers")
    return loads, worst
end

return _M
