--- What the tool writes to: a terminal, with its width and colours, or something else.

local ffi = require "ffi"

local fail = require "resty.tandem.tool.fail"

local _M = {}

ffi.cdef [[
int isatty(int fd);
int ioctl(int fd, unsigned long request, ...);
int poll(void *fds, unsigned long n, int timeout_ms);
int clock_gettime(int clock, long now[2]);
]]

local C = ffi.C
local TIOCGWINSZ = 0x5413
local NARROWEST = 20
local USUAL = 80
local EPIPE = 32

local is_terminal = C.isatty(1) == 1

--- Is what is written seen by people, at once?
function _M.is_terminal()
    return is_terminal
end

--- Is what is complained seen so?
function _M.is_error_terminal()
    return C.isatty(2) == 1
end

--- Is there somebody to be asked?
function _M.can_ask()
    return C.isatty(0) == 1 and C.isatty(2) == 1
end

--- Columns, as they are now; nil where lines may have any length.
function _M.columns()
    if not is_terminal then
        return nil
    end
    local size = ffi.new("unsigned short[4]")
    local columns = C.ioctl(1, TIOCGWINSZ, size) == 0 and size[1] or 0
    if columns == 0 then
        columns = tonumber(os.getenv("COLUMNS")) or USUAL
    end
    return math.max(columns, NARROWEST)
end

local COLOURS = { bold = "1", red = "31", green = "32", yellow = "33", dim = "2" }

local no_colour = os.getenv("NO_COLOR")
local colours = is_terminal and (no_colour == nil or no_colour == "")
    and os.getenv("TERM") ~= "dumb"

--- A text in a colour, where there are colours.
function _M.paint(colour, text)
    return colours and "\27[" .. COLOURS[colour] .. "m" .. text .. "\27[0m" or text
end

--- Goes on at the top of an empty screen; elsewhere the next screen is just what comes next.
function _M.home()
    if is_terminal then
        _M.write("\27[H\27[2J")
    end
end

local time = ffi.new "long[2]"

--- Seconds of the monotonic clock, to the nanosecond: for measuring.
function _M.now()
    C.clock_gettime(1, time)
    return tonumber(time[0]) + tonumber(time[1]) / 1e9
end

function _M.sleep(seconds)
    C.poll(nil, 0, seconds * 1000)
end

-- Raised by write, and known by main.lua, when nobody reads any more: a table, lest it be shown.
_M.CLOSED = {}

local function check(ok, err, number)
    if not ok then
        if number == EPIPE then
            error(_M.CLOSED, 0)
        end
        fail.failed("cannot write: " .. err)
    end
end

--- Writes text.  Raises when it cannot.
function _M.write(...)
    check(io.stdout:write(...))
end

function _M.flush()
    check(io.stdout:flush())
end

--- Writes a line.
function _M.say(format, ...)
    _M.write(select("#", ...) > 0 and format:format(...) or format, "\n")
end

--- Writes a line to those who look at what goes wrong.
function _M.complain(text)
    io.stderr:write("tandem: ", text, "\n")
end

return _M
