--- The caches that are measured, each from a chunk of its own: loops, calls and their traces are
-- not shared with any other.  The same code is compiled differently depending on what ran before.

local _M = {}

--- A fresh candidate: bench/candidates/NAME.lua, called with its arguments.  It returns a table of
-- functions; each does its loop itself.
function _M.load(name, ...)
    local path = assert(package.searchpath("candidates." .. name, package.path))
    return assert(loadfile(path))(...)
end

return _M
