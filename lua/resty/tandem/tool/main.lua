--- The tool's front door: reads the command line, runs the command, and says how it ended.
--
-- Exit statuses: 0 it is done; 1 there is no such key, or damage was found; others: fail.lua.

local fail = require "resty.tandem.tool.fail"
local help = require "resty.tandem.tool.help"
local show = require "resty.tandem.tool.show"
local terminal = require "resty.tandem.tool.terminal"

local DONE, MISUSED, FAILED = 0, 2, 4

local ABOUT = { ["--help"] = "help", ["-h"] = "help", ["--version"] = "version" }

local VALUES = { SECONDS = "number of seconds", N = "whole number", FOLDER = "folder",
                 FILE = "file", URL = "URL" }

local function misuse(text, ...)
    fail.misused(text:format(...))
end

local function number_of(name, text, kind)
    local n = tonumber(text)
    if not n or n ~= n or n <= 0 or n > 1e9 or kind == "N" and n % 1 ~= 0 then
        misuse("%s needs a %s above 0, got %s", name, VALUES[kind], show.text(text, 40))
    end
    return n
end

-- Puts the option at words[i] into options.  Returns where its value is, or i.
local function put_option(options, words, i)
    local name, value = words[i]:match("^(%-%-[%w-]+)=(.*)$")
    name = name or words[i]
    local key = name:sub(3):gsub("-", "_")
    local kind = help.value(name)
    if kind == nil then
        misuse("unknown option %s: see tandem --help", show.text(name, 40))
    elseif not kind then
        if value then
            misuse("%s takes no value", name)
        end
        options[key] = true
        return i
    elseif not value then
        i = i + 1
        value = words[i]
    end
    if not value or value == "" then
        misuse("%s needs a %s", name, VALUES[kind])
    end
    local is_number = kind == "SECONDS" or kind == "N"
    options[key] = is_number and number_of(name, value, kind) or value
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
        elseif ABOUT[word] then
            options[ABOUT[word]] = true
        elseif word:find("^%-.") then
            i = put_option(options, arguments, i)
        else
            words[#words + 1] = word
        end
        i = i + 1
    end
    return words, options
end

-- Returns the exit status.
local function obey(words, options)
    local command = table.remove(words, 1)
    if command == "help" then
        command, options.help = table.remove(words, 1), true
    end
    local module = help.module(command)
    if options.version then
        terminal.say("tandem %s", require("resty.tandem")._VERSION)
        return DONE
    elseif command and not module then
        misuse("no such command: %s; see tandem --help", show.text(command, 40))
    elseif options.help or not command then
        terminal.write(help.text(command))
        return options.help and DONE or MISUSED
    end
    local problem = help.problem(command, words, options)
    if problem then
        misuse("%s\nusage: %s", problem, help.usage(command))
    end
    return require("resty.tandem.tool." .. module)(words, options, command)
end

local function run(arguments)
    local status = obey(read(arguments))
    terminal.flush()
    return status
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
