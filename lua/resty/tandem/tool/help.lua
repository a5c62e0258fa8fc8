--- What the tool says of itself: one table, from which --help, usage lines and the checks of a
-- command line come.

local show = require "resty.tandem.tool.show"

local _M = {}

-- least, most: words after the command; options: those that it takes; module: what runs it.
local COMMANDS = {
    { name = "list", words = "", least = 0, most = 0, options = "json runtime_dir",
      module = "list", what = "the segments in use on this host" },
    { name = "stat", words = "SEGMENT", least = 1, most = 1,
      options = "json watch interval count runtime_dir",
      module = "stat", what = "hits, memory, Redis, tracking; with --watch again and again" },
    { name = "keys", words = "SEGMENT [PATTERN]", least = 1, most = 2,
      options = "json limit runtime_dir",
      module = "keys", what = "the keys in memory, a line each; PATTERN is a Redis glob" },
    { name = "get", words = "SEGMENT KEY", least = 2, most = 2, options = "json raw runtime_dir",
      module = "entry",
      what = "the value in memory; its bytes as they are with --raw or into a pipe" },
    { name = "ttl", words = "SEGMENT KEY", least = 2, most = 2, options = "json runtime_dir",
      module = "entry", what = "seconds that a key has left; 0: for ever" },
    { name = "delete", words = "SEGMENT KEY", least = 2, most = 2,
      options = "json redis timeout no_tracking runtime_dir",
      module = "change", what = "removes a key from memory, and with --redis from Redis" },
    { name = "clear", words = "SEGMENT", least = 1, most = 1,
      options = "json yes redis timeout no_tracking runtime_dir", module = "change",
      what = "removes all keys from memory, and with --redis those of this cache from Redis" },
    { name = "verify", words = "SEGMENT", least = 1, most = 1, options = "json runtime_dir",
      module = "verify", what = "looks at every slot, record and sum, and reports damage" },
    { name = "top", words = "SEGMENT", least = 1, most = 1,
      options = "json seconds limit runtime_dir", module = "top",
      what = "the keys and prefixes that are read most, by sampling for --seconds (2)" },
    { name = "warm", words = "SEGMENT [PATTERN]", least = 1, most = 2,
      options = "json redis file timeout no_tracking runtime_dir", module = "warm",
      what = "reads keys from Redis into memory: those of --file, or that match PATTERN" },
    { name = "bench", words = "[SEGMENT]", least = 0, most = 1,
      options = "json redis timeout seconds runtime_dir", module = "bench",
      what = "how fast this host is: memory, and with --redis a round trip and an invalidation" },
}

-- What each is called, what its value is (false: it has none), and what it is for.
local OPTIONS = {
    { "--json", false, "for programs: JSON, one value a line" },
    { "--watch", false, "again and again, until it is interrupted" },
    { "--interval", "SECONDS", "between two looks (1)" },
    { "--count", "N", "ends after so many looks" },
    { "--limit", "N", "at most so many" },
    { "--raw", false, "the bytes as they are, also on a terminal" },
    { "--yes", false, "does not ask" },
    { "--seconds", "SECONDS", "how long it goes on" },
    { "--file", "FILE", "keys, a line each, as `tandem keys` writes them; -: standard input" },
    { "--redis", "URL", "the cache's Redis; @FILE: the URL is in a file, as others can see command "
      .. "lines" },
    { "--timeout", "SECONDS", "for an answer of Redis (5)" },
    { "--no-tracking", false, "makes no tracking link of its own" },
    { "--runtime-dir", "FOLDER", "where the cache's processes meet ($TMPDIR or /tmp)" },
}

local by_name = {}
for _, command in ipairs(COMMANDS) do
    by_name[command.name] = command
end

-- option: as it is in options, with underscores.
local function takes(command, option)
    return (" " .. command.options .. " "):find(" " .. option .. " ", 1, true) ~= nil
end

--- The module that runs a command; nil: there is no such command.
function _M.module(name)
    return by_name[name] and by_name[name].module
end

--- What the value of an option is: "SECONDS", "N", "FILE", "URL" or "FOLDER"; false: it has none;
-- nil: there is no such option.
function _M.value(name)
    for _, option in ipairs(OPTIONS) do
        if option[1] == name then
            return option[2]
        end
    end
end

function _M.usage(name)
    local words = by_name[name].words
    return "tandem " .. name .. (words == "" and "" or " " .. words) .. " [options]"
end

local function overview()
    local lines = {
        "usage: tandem COMMAND SEGMENT [ARG] [options]",
        "",
        "Looks into the caches of lua-resty-tandem that run on this host, and acts on them, while",
        "they go on.  SEGMENT is the file of a segment (a path with a slash), or a cache's name.",
        "",
    }
    for _, command in ipairs(COMMANDS) do
        lines[#lines + 1] = ("  %-7s %-18s %s"):format(command.name, command.words, command.what)
    end
    lines[#lines + 1] = ""
    lines[#lines + 1] = "tandem COMMAND --help tells more of one."
    lines[#lines + 1] = "Bytes that a terminal would obey are shown as \\n, \\t, \\\\ and \\xNN, "
        .. "and may be given so."
    lines[#lines + 1] = "Exit status: 0 done; 1 no such key, or damage found; 2 misused; "
        .. "3 cannot be opened; 4 failed."
    return table.concat(lines, "\n") .. "\n"
end

--- The help text, of one command or of all.
function _M.text(name)
    local command = by_name[name]
    if not command then
        return overview()
    end
    local lines = { "usage: " .. _M.usage(name), "", command.what, "" }
    for _, option in ipairs(OPTIONS) do
        if takes(command, (option[1]:sub(3):gsub("-", "_"))) then
            lines[#lines + 1] = ("  %-22s %s"):format(
                option[1] .. (option[2] and " " .. option[2] or ""), option[3])
        end
    end
    return table.concat(lines, "\n") .. "\n"
end

--- What is wrong with the words and options of a command; nil: nothing.
function _M.problem(name, words, options)
    local command = by_name[name]
    if #words < command.least then
        return name .. " needs " .. command.words
    elseif #words > command.most then
        return name .. " takes no " .. show.text(words[command.most + 1], 40)
    end
    for option in pairs(options) do
        if not takes(command, option) then
            return name .. " takes no --" .. option:gsub("_", "-")
        end
    end
end

--- All commands, and all options as they are written: for completions, the manual and tests.
function _M.names()
    local commands, options = {}, {}
    for i, command in ipairs(COMMANDS) do
        commands[i] = command.name
    end
    for i, option in ipairs(OPTIONS) do
        options[i] = option[1]
    end
    return commands, options
end

return _M
