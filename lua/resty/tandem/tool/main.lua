--- The tool's front door: reads the command line, runs the command, and says how it ended.
--
-- Exit statuses: 0 it is done; 1 there is no such key, or damage was found; 2 the command line
-- makes no sense; 3 the segment, or its Redis, cannot be opened; 4 something failed.

local help = require "resty.tandem.tool.help"
local show = require "resty.tandem.tool.show"
local terminal = require "resty.tandem.tool.terminal"

local DONE, MISUSED, FAILED = 0, 2, 4

-- Each takes the words that are left, and what options say; it returns the exit status.
local COMMANDS = {
    list = "list", stat = "stat", keys = "keys", get = "entry", ttl = "entry", delete = "change",
    clear = "change", verify = "verify", top = "top", warm = "warm", bench = "bench",
}

-- name -> true: alone; else what its value is.
local OPTIONS = {
    ["--json"] = true, ["--watch"] = true, ["--yes"] = true, ["--raw"] = true, ["--help"] = true,
    ["--version"] = true, ["--no-tracking"] = true, ["--runtime-dir"] = "folder",
    ["--redis"] = "URL", ["--timeout"] = "seconds", ["--limit"] = "number",
    ["--seconds"] = "seconds", ["--interval"] = "seconds", ["--file"] = "file",
    ["--count"] = "number",
}

local function misuse(text, ...)
    error({ exit = MISUSED, message = text:format(...) }, 0)
end

local function number_of(name, text, kind)
    local n = tonumber(text)
    if not n or n ~= n or n <= 0 or n > 1e9 or kind == "number" and n % 1 ~= 0 then
        misuse("%s needs a %s above 0, got %s", name,
               kind == "number" and "whole number" or "number", show.text(text, 40))
    end
    return n
end

local function put_option(options, words, i)
    local name, value = words[i]:match("^(%-%-[%w-]+)=(.*)$")
    name = name or words[i]
    local kind = OPTIONS[name]
    if not kind then
        misuse("unknown option %s: see tandem --help", show.text(name, 40))
    elseif kind == true and value then
        misuse("%s takes no value", name)
    elseif kind == true then
        options[name:sub(3):gsub("-", "_")] = true
        return i
    elseif not value then
        i = i + 1
        value = words[i]
    end
    if not value or value == "" then
        misuse("%s needs a %s", name, kind)
    end
    options[name:sub(3):gsub("-", "_")] =
        (kind == "seconds" or kind == "number") and number_of(name, value, kind) or value
    return i
end

-- "--" ends the options: what comes after it is taken as it is.
local function read(arguments)
    local words, options, i = {}, {}, 1
    while arguments[i] do
        local word = arguments[i]
        if word == "--" then
            for rest = i + 1, #arguments do
                words[#words + 1] = arguments[rest]
            end
            break
        elseif word == "-h" then
            options.help = true
        elseif word:find("^%-.") then
            i = put_option(options, arguments, i)
        else
            words[#words + 1] = word
        end
        i = i + 1
    end
    return words, options
end

local function run(arguments)
    local words, options = read(arguments)
    local command = table.remove(words, 1)
    if options.version then
        terminal.say("tandem %s", require("resty.tandem")._VERSION)
        return DONE
    elseif options.help or not command or command == "help" then
        if command == "help" then
            command = words[1]
        end
        terminal.write(help.text(command))
        return (options.help or command) and DONE or MISUSED
    elseif not COMMANDS[command] then
        misuse("no such command: %s; see tandem --help", show.text(command, 40))
    end
    local problem = help.problem(command, words, options)
    if problem then
        misuse("%s\nusage: %s", problem, help.usage(command))
    end
    local status = require("resty.tandem.tool." .. COMMANDS[command])(words, options, command)
    terminal.flush()
    return status or DONE
end

--- Runs the tool.
-- @tparam table arguments the words of the command line
-- @return the exit status
return function(arguments)
    local ok, status = xpcall(run, function(problem)
        return type(problem) == "table" and problem or { bug = debug.traceback(tostring(problem)) }
    end, arguments)
    if ok then
        return status
    elseif status == terminal.CLOSED then
        return DONE -- whoever reads has had enough
    elseif status.bug then
        terminal.complain(status.bug)
        return FAILED
    end
    terminal.complain(status.message)
    return status.exit
end
