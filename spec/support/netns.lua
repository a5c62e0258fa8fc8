--- Two network namespaces, joined by a cable that can be cut so that nobody is told: packets leave,
-- and vanish.
--
-- They have no names and die with the processes that hold them.  Without root the kernel must allow
-- user namespaces.  Needs ip (iproute2), unshare and nsenter (util-linux).

local run = require "spec.support.run"

local _M = {}
local Net = {}
Net.__index = Net

local NEAR, FAR = "10.213.0.1", "10.213.0.2"
local NEAR_MAC, FAR_MAC, NOBODY_MAC = "02:00:00:00:00:01", "02:00:00:00:00:02", "02:00:00:00:00:99"

local function is_root()
    return require("posix.unistd").geteuid() == 0
end

local function run_in(words, program)
    local all = { unpack(words) }
    for _, word in ipairs(program) do
        all[#all + 1] = word
    end
    return all
end

local function must(program)
    local output, status = run.run(program)
    if status ~= 0 then
        error(table.concat(program, " ") .. ": " .. output, 3)
    end
end

-- The words before a program that is to run in the namespace that this process holds.
local function enter(holder)
    local words = { "nsenter", "--target", holder.pid, "--net" }
    if not is_root() then
        table.insert(words, "--user")
        table.insert(words, "--preserve-credentials")
    end
    return words
end

-- The inode of a process's network namespace.
local function namespace_of(pid)
    return require("posix.unistd").readlink("/proc/" .. pid .. "/ns/net")
end

local function hold(words)
    local holder = run.start(run_in(words, { "sleep", "3600" }))
    local ours = namespace_of("self")
    run.wait_until("there is a network namespace", function()
        assert(holder:alive(), table.concat(words, " ") .. " does not work here: this needs root,"
               .. " or user namespaces")
        local theirs = namespace_of(holder.pid)
        return theirs and theirs ~= ours and run.read_file("/proc/" .. holder.pid .. "/comm")
            == "sleep\n"
    end)
    return holder
end

--- Makes them.  near and far are the words to put before a program's name to run it there; address
-- is far's, as seen from near.
function _M.start()
    for _, program in ipairs({ "ip", "unshare", "nsenter" }) do
        run.need(program)
    end
    local self = setmetatable({ address = FAR }, Net)
    local first = hold(is_root() and { "unshare", "--net" }
        or { "unshare", "--user", "--map-root-user", "--net" })
    self.near = enter(first)
    local second = hold(run_in(self.near, { "unshare", "--net" }))
    self.far = enter(second)
    self:near_ip("link add near type veth peer name far")
    self:near_ip("link set far netns " .. second.pid)
    self:near_ip("link set lo up")
    self:near_ip("link set near address " .. NEAR_MAC .. " up")
    self:near_ip("addr add " .. NEAR .. "/24 dev near")
    self:far_ip("link set lo up")
    self:far_ip("link set far address " .. FAR_MAC .. " up")
    self:far_ip("addr add " .. FAR .. "/24 dev far")
    self:mend()
    return self
end

local function ip(words, text)
    local program = run_in(words, { "ip" })
    for word in text:gmatch("%S+") do
        program[#program + 1] = word
    end
    must(program)
end

--- Runs ip there.
function Net:near_ip(text)
    ip(self.near, text)
end

function Net:far_ip(text)
    ip(self.far, text)
end

--- From now on packets of both sides vanish: they go to a station that is not there, and nobody
-- asks where it is.
function Net:cut()
    self:near_ip("neigh replace " .. FAR .. " lladdr " .. NOBODY_MAC .. " dev near nud permanent")
    self:far_ip("neigh replace " .. NEAR .. " lladdr " .. NOBODY_MAC .. " dev far nud permanent")
end

--- They arrive again.
function Net:mend()
    self:near_ip("neigh replace " .. FAR .. " lladdr " .. FAR_MAC .. " dev near nud permanent")
    self:far_ip("neigh replace " .. NEAR .. " lladdr " .. NEAR_MAC .. " dev far nud permanent")
end

return _M
