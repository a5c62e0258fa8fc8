--- How the tool shows bytes, numbers and times to people.
--
-- Keys and values are anybody's bytes: what a terminal would obey, or that would end a line, is
-- written as \n, \t or \xNN, and a backslash as \\, so that nothing shown can be two things.

local bit = require "bit"

local band = bit.band
local byte = string.byte
local char = string.char
local concat = table.concat
local format = string.format
local sub = string.sub

local _M = {}

-- -- UTF-8 ---------------------------------------------------------------------------------------

-- The length and code of the character that begins at i; nil: it is none.
local function character(text, i)
    local a, b, c, d = byte(text, i, i + 3)
    if a < 0x80 then
        return 1, a
    elseif a >= 0xc2 and a < 0xe0 and b and band(b, 0xc0) == 0x80 then
        return 2, (a - 0xc0) * 64 + (b - 0x80)
    elseif a >= 0xe0 and a < 0xf0 and c and band(b, 0xc0) == 0x80 and band(c, 0xc0) == 0x80 then
        local code = (a - 0xe0) * 4096 + (b - 0x80) * 64 + (c - 0x80)
        if code >= 0x800 and (code < 0xd800 or code > 0xdfff) then
            return 3, code
        end
    elseif a >= 0xf0 and a < 0xf5 and d and band(b, 0xc0) == 0x80 and band(c, 0xc0) == 0x80
           and band(d, 0xc0) == 0x80 then
        local code = (a - 0xf0) * 262144 + (b - 0x80) * 4096 + (c - 0x80) * 64 + (d - 0x80)
        if code >= 0x10000 and code < 0x110000 then
            return 4, code
        end
    end
end

--- Is all of it UTF-8?
function _M.is_utf8(text)
    local i = 1
    while i <= #text do
        local length = character(text, i)
        if not length then
            return false
        end
        i = i + length
    end
    return true
end

-- Controls, and what changes the direction of writing or cannot be seen.
local function is_shown(code)
    return not (code < 0x20 or code >= 0x7f and code < 0xa0 or code == 0xad
                or code == 0x61c or code == 0x180e
                or code >= 0x200b and code <= 0x200f or code >= 0x2028 and code <= 0x202e
                or code >= 0x2060 and code <= 0x206f or code == 0xfeff
                or code >= 0xfff0 and code <= 0xfffb or code >= 0xe000 and code <= 0xf8ff
                or code >= 0xe0000)
end

-- Takes two columns of a terminal, about.
local function is_wide(code)
    return code >= 0x1100 and (code <= 0x115f or code >= 0x2e80 and code <= 0xa4cf
                               or code >= 0xac00 and code <= 0xd7a3
                               or code >= 0xf900 and code <= 0xfaff
                               or code >= 0xfe30 and code <= 0xfe6f
                               or code >= 0xff00 and code <= 0xff60
                               or code >= 0xffe0 and code <= 0xffe6 or code >= 0x1f300)
end

-- -- Bytes ---------------------------------------------------------------------------------------

local ESCAPES = { ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t", ["\\"] = "\\\\" }

--- Bytes as one line that can be shown anywhere.
-- @tparam[opt] number columns at most so many: a longer one ends in "..."
function _M.text(bytes, columns)
    local parts, n, used, fits = {}, 0, 0, 0
    local i = 1
    while i <= #bytes do
        local length, code = character(bytes, i)
        local piece, width
        if length and is_shown(code) and code ~= 0x5c then
            piece = sub(bytes, i, i + length - 1)
            width = is_wide(code) and 2 or 1
        else
            length = 1
            piece = ESCAPES[sub(bytes, i, i)] or format("\\x%02x", byte(bytes, i))
            width = #piece
        end
        if columns and used + width > columns then
            return concat(parts, "", 1, fits) .. "..."
        end
        n = n + 1
        parts[n] = piece
        used = used + width
        if not columns or used <= columns - 3 then
            fits = n
        end
        i = i + length
    end
    return concat(parts)
end

local BACK = { n = "\n", r = "\r", t = "\t", ["\\"] = "\\" }

--- The bytes that text() has shown so.
-- @return the bytes; or nil and what is wrong
function _M.bytes(text)
    local parts, i = {}, 1
    while i <= #text do
        local c = sub(text, i, i)
        if c ~= "\\" then
            parts[#parts + 1], i = c, i + 1
        elseif BACK[sub(text, i + 1, i + 1)] then
            parts[#parts + 1], i = BACK[sub(text, i + 1, i + 1)], i + 2
        else
            local hex = text:match("^x(%x%x)", i + 1)
            if not hex then
                return nil, "not an escape: " .. sub(text, i, i + 3)
            end
            parts[#parts + 1], i = char(tonumber(hex, 16)), i + 4
        end
    end
    return concat(parts)
end

-- -- Numbers -------------------------------------------------------------------------------------

--- A whole number in groups of three digits.
function _M.count(n)
    local text = format("%.0f", n)
    local rest = text:reverse():gsub("(%d%d%d)", "%1 "):reverse()
    return (rest:gsub("^ ", ""):gsub("^%- ", "-"))
end

local UNITS = { "KiB", "MiB", "GiB", "TiB" }

-- Where what is rounded up would be a thousand of a unit, or 1024, it is one of the next.
function _M.size(bytes)
    if bytes < 1023.5 then
        return format("%.0f B", bytes)
    end
    local i = 0
    repeat
        bytes, i = bytes / 1024, i + 1
    until bytes < 1023.95 or i == #UNITS
    return format("%.1f %s", bytes, UNITS[i])
end

--- Seconds, in the unit in which they are read best.
function _M.duration(seconds)
    if seconds < 0.9995e-3 then
        return format("%.3g us", seconds * 1e6)
    elseif seconds < 0.9995 then
        return format("%.3g ms", seconds * 1e3)
    elseif seconds < 120 then
        return format("%.3g s", seconds)
    elseif seconds < 7200 then
        return format("%d min %d s", seconds / 60, seconds % 60)
    elseif seconds < 172800 then
        return format("%d h %d min", seconds / 3600, seconds / 60 % 60)
    end
    return format("%d d %d h", seconds / 86400, seconds / 3600 % 24)
end

--- A quantile of a histogram: "p50" or "p99".
function _M.quantile(h, name)
    local most = h.buckets[#h.buckets - 1].le
    return h[name] and _M.duration(h[name]) or "> " .. _M.duration(most)
end

function _M.percent(part, whole)
    return whole > 0 and format("%.1f %%", 100 * part / whole) or "-"
end

return _M
