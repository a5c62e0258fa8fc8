--- What words of the command line stand for: a key with escapes, and what is in a file.  "-" is
-- standard input, of which each takes its part: the URL is the first line, keys are the rest.

local fail = require "resty.tandem.tool.fail"
local show = require "resty.tandem.tool.show"

local KEY_BYTES = 4096

local _M = {}

local function open(path)
    if path == "-" then
        return io.stdin
    end
    return io.open(path, "r")
end

local function key_of(word)
    local key, problem = show.bytes(word)
    if not key then
        return nil, problem
    elseif #key == 0 or #key > KEY_BYTES then
        return nil, ("it must have 1 to %d bytes"):format(KEY_BYTES)
    end
    return key
end

--- The key that a word means.  Raises when it means none.
function _M.key(word)
    local key, problem = key_of(word)
    return key or fail.misused("the key: " .. problem)
end

--- The keys in a file, a line each, as `tandem keys` writes them.  Raises when it cannot be read.
function _M.keys(path)
    local file, err = open(path)
    if not file then
        fail.misused(show.text(err))
    end
    local text
    text, err = file:read("*a")
    if not text then
        fail.misused(show.text(path .. ": " .. err))
    end
    local keys, number = {}, 0
    for line in text:gmatch("([^\n]*)\n?") do
        number = number + 1
        if line ~= "" then
            local key, problem = key_of(line)
            keys[#keys + 1] = key
                or fail.misused(("%s, line %d: %s"):format(show.text(path), number, problem))
        end
    end
    return keys
end

--- The URL that a word is, or that is in the file that it names with an @.
function _M.url(word)
    local path = word:match("^@(.*)$")
    if not path then
        return word
    end
    local file, err = open(path)
    if not file then
        fail.not_opened("cannot read the URL of Redis: " .. show.text(err))
    end
    local line
    line, err = file:read("*l")
    return line or fail.not_opened("cannot read the URL of Redis: "
                                   .. show.text(path .. (err and ": " .. err or " is empty")))
end

return _M
