--- Every password that specs use has the same word in it, and that word must be in nothing that is
-- left when they are done: no log, no output, no file of a segment, no title of a process.
--
-- spec.support.run looks through each temporary folder before it removes it, spec.support.nginx at
-- the titles of its processes, and tools/test-spec and tools/test-unit through what was printed.

local _M = {}

--- What is in every password.
_M.WORD = "s3cret"

-- What it was written into on purpose: configurations, scripts, and what scripted peers were told.
local WRITTEN = { "*.conf", "*.lua", "records" }

--- The files below a folder that have it in them, one a line; "" if there is none.
function _M.files_with(folder)
    local command = { "grep -rlaF -D skip -e", _M.WORD }
    for _, name in ipairs(WRITTEN) do
        command[#command + 1] = "--exclude='" .. name .. "'"
    end
    command[#command + 1] = "'" .. folder .. "' 2>&1"
    local pipe = assert(io.popen(table.concat(command, " ")))
    local found = pipe:read("*a")
    pipe:close()
    return found
end

--- Raises unless a password has it.
function _M.check(password)
    if password and not password:find(_M.WORD, 1, true) then
        error("a password of a spec must have " .. _M.WORD .. " in it: " .. password, 0)
    end
end

--- Raises if what can be seen has it.
function _M.check_shown(text)
    if text:find(_M.WORD, 1, true) then
        error("there is a password in: " .. text, 0)
    end
end

--- Raises if a command gives somebody in Redis a password without it.
function _M.check_command(words)
    local setting = words[1] == "CONFIG" and words[3] == "requirepass" and words[4] ~= ""
    _M.check(setting and words[4] or nil)
    for i = 4, words[1] == "ACL" and words[2] == "SETUSER" and #words or 0 do
        _M.check(words[i]:match("^>(.*)"))
    end
end

return _M
