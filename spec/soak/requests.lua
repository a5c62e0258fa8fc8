--- Requests to the hosts of the soak: one of each is under way at a time, beside a flood.

local http = require "spec.support.http"
local run = require "spec.support.run"
local world = require "spec.soak.world"

local hosts = world.hosts
local STANDSTILL = world.STANDSTILL

local _M = { count = 0, cut = 0 }

local URIS = { "/plain", "/fetch?n=%d" }

--- Sends one; host.may_cut: so many may be cut off by kills.
function _M.send(host, uri, n)
    local request = http.send(host.web, uri)
    request.uri = uri
    request.expects = uri == "/plain" and "plain" or uri == "/press" and "done"
                      or ("f%d is loaded"):format(n)
    _M.count = _M.count + 1
    return request
end

-- A kill may cut off what the worker was at: a request and a flood.
local function check_answer(host, request)
    if request.err then
        host.cuts, _M.cut = host.cuts + 1, _M.cut + 1
        if host.cuts > host.may_cut then
            error(("host %d: %s, and nobody was killed: %s"):format(host.number, request.uri,
                                                                   request.err), 0)
        end
    elseif request.status ~= 200 or request.body ~= request.expects then
        error(("host %d: %s: %d %s"):format(host.number, request.uri, request.status,
                                            request.body), 0)
    end
end

-- Looks whether what a host was asked has been answered.
local function look_for_answer(host, which)
    local request = host[which]
    if request and (request.err or not request:is_waiting()) then
        check_answer(host, request.err and request or request:wait(STANDSTILL))
        host[which] = nil
    elseif request and run.now() - request.began > STANDSTILL then
        error(("host %d does not answer %s"):format(host.number, request.uri), 0)
    end
end

--- Looks for answers, and asks anew.
function _M.ask()
    for _, host in ipairs(hosts) do
        look_for_answer(host, "flood")
        look_for_answer(host, "request")
        if not host.request then
            local n = math.random(60)
            host.request = _M.send(host, URIS[math.random(#URIS)]:format(n), n)
        end
    end
end

--- Waits for the answers that are under way.
function _M.finish()
    for _, host in ipairs(hosts) do
        for _, which in ipairs({ "flood", "request" }) do
            local request = host[which]
            if request then
                check_answer(host, request.err and request or request:wait(STANDSTILL))
                host[which] = nil
            end
        end
    end
end

return _M
