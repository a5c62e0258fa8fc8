--- An nginx with two workers and a cache to fetch from, for specs, and both sides of it.
--
-- In the workers there are `cache`, `signals` (another cache, in memory only, to talk through),
-- `count(name)`, and loaders:
--   held(name, value, ...)  counts as name, waits for signals' "go", and returns value, ...
--   quick(name, ...)        counts as name and returns ...

local http = require "spec.support.http"
local nginx = require "spec.support.nginx"
local run = require "spec.support.run"
local signal = require "posix.signal"

local _M = {}
local Site = {}
Site.__index = Site

local INIT = [[
    local tandem = require "resty.tandem"
    cache = assert(tandem.new("web", { memory = "4m", %s }))
    signals = assert(tandem.new("signals", { memory = "1m", near = false }))

    function count(name)
        return signals:incr("count " .. name, 1, 0)
    end

    function quick(name, ...)
        count(name)
        return ...
    end

    function held(name, ...)
        count(name)
        while not signals:get("go") do
            ngx.sleep(0.005)
        end
        return ...
    end
]]

--- Starts one.  options: of the cache, as Lua text; more: see spec.support.nginx.
function _M.start(options, more)
    more = more or {}
    more.init = INIT:format(options or "") .. (more.init or "")
    more.server = "lua_check_client_abort on;\n" .. (more.server or "")
    local self = setmetatable({ web = nginx.start(more) }, Site)
    self.workers = self.web:workers()
    return self
end

--- Runs Lua text in a request: see Nginx:eval.
function Site:eval(code, seconds)
    return self.web:eval(code, seconds)
end

--- How often loaders were counted as this name.
function Site:count(name)
    return tonumber(self:eval(("return signals:get('count %s') or '0'"):format(name))
                    :match("%d+"))
end

--- Waits until they were counted so often.
function Site:await(name, n)
    run.wait_until(name .. " has been counted " .. n .. " times",
                   function() return self:count(name) >= n end, 30)
end

--- Lets held loaders go on, or hold again.
function Site:go()
    self:eval("signals:set('go', '1')")
end

function Site:stop()
    self:eval("signals:delete('go')")
end

--- Waits for a statement about fetch's counters.
function Site:await_counter(name, n)
    run.wait_until("fetch." .. name .. " is " .. n, function()
        return self:counter(name) >= n
    end, 30)
end

function Site:counter(name)
    return tonumber(self:eval("return cache:stats().fetch." .. name))
end

--- Lua text that fetches key by this loader, and its opts, both text too.
function _M.code(key, loader, opts)
    return ("return cache:fetch(%q, %s, %s)"):format(key, opts or "nil", loader)
end

--- The same, by held; results: what that returns, as text.
function _M.held(key, results, opts)
    return _M.code(key, ("held, %q%s"):format(key, results and ", " .. results or ""), opts)
end

local function freeze(pid)
    assert(signal.kill(pid, signal.SIGSTOP))
    run.wait_until("a worker stands still", function() return run.state_of(pid) == "T" end)
end

_M.freeze = freeze

function _M.thaw(pid)
    assert(signal.kill(pid, signal.SIGCONT))
end

--- Sends n requests with this Lua text that are all taken by that worker, and returns when they are
-- under way: their code has to begin with `count "entered"`.
function Site:send_to(worker, n, code)
    local others = {}
    for _, pid in ipairs(self.web:workers()) do
        if pid ~= worker then
            freeze(pid)
            others[#others + 1] = pid
        end
    end
    local before = self:count("entered")
    local requests = {}
    for i = 1, n do
        requests[i] = self.web:send_eval("count 'entered' " .. code)
    end
    self:await("entered", before + n)
    for _, pid in ipairs(others) do
        _M.thaw(pid)
    end
    return requests
end

--- Waits for requests.  Returns a table: answer -> how many of them said so.
function Site.answers(_, requests, seconds)
    http.finish(requests, seconds or 60)
    local answers = {}
    for _, request in ipairs(requests) do
        local said = request.status == 200 and request.body or "error " .. tostring(request.status)
            .. (request.err or "")
        answers[said] = (answers[said] or 0) + 1
    end
    return answers
end

return _M
