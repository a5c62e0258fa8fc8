--- Other programs.

local _M = {}

--- What a command prints.
-- @param format the command, as for string.format
function _M.output(format, ...)
    local pipe = assert(io.popen(string.format(format, ...)))
    local text = pipe:read("*a")
    pipe:close()
    return text
end

return _M
