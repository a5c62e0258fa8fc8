--- What suites need that may not be there.

local files = require "lib.files"
local nginx = require "lib.nginx"

local _M = {}

local INSTALL = " is not installed: as root, bench/deps installs it"

local function lacks(what, build)
    if what:find("^bench/") then
        return not files.read(build .. "/" .. what)
               and ("there is no %s/%s: make bench builds it"):format(build, what)
    elseif what == "nginx.redis" then
        return not package.searchpath(what, package.path)
               and "lua-resty-redis (Debian's lua-nginx-redis)" .. INSTALL
    end
    local program = what == "nginx" and nginx.PROGRAM or what
    return os.execute("command -v " .. program .. " >/dev/null") ~= 0 and program .. INSTALL
end

--- The first thing that is not there, as a sentence; nil when all are.
-- @param needs programs; programs of ours, as "bench/NAME"; "nginx.redis", a module
-- @param build the folder of the latter
function _M.lacking(needs, build)
    for _, what in ipairs(needs) do
        local sentence = lacks(what, build)
        if sentence then
            return sentence
        end
    end
end

return _M
