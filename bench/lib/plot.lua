--- Plots as SVG, written by hand: bars, and lines over a logarithmic or even axis.

local files = require "lib.files"

local _M = {}

local HEAD = '<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d"'
    .. ' font-family="sans-serif" fill="#222">\n'
    .. '<rect width="100%%" height="100%%" fill="#fff"/>\n'

local COLOURS = {
    "#1f6fb4", "#d1495b", "#2e933c", "#e3a008", "#7b4fa6", "#5c6770", "#00a3a3", "#9c5b2e",
    "#b8336a",
}
local fixed = {}
local used = 0

local function colour(name)
    if not fixed[name] then
        used = used % #COLOURS + 1
        fixed[name] = COLOURS[used]
    end
    return fixed[name]
end

local function escape(text)
    return (text:gsub("[&<>]", { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;" }))
end

local function text(x, y, size, anchor, content)
    return string.format('<text x="%.1f" y="%.1f" font-size="%d" text-anchor="%s">%s</text>',
                         x, y, size, anchor, escape(content))
end

local function save(path, width, height, parts)
    files.write(path, HEAD:format(width, height) .. table.concat(parts, "\n") .. "\n</svg>\n")
end

--- Bars, each { label, value, kind }, on a logarithmic axis: bars of one kind have one colour.
function _M.bars(path, title, bars)
    local most, least = 0, math.huge
    for _, bar in ipairs(bars) do
        most, least = math.max(most, bar[2]), math.min(least, bar[2])
    end
    local low = math.log10(least) - 0.3
    local scale = 420 / (math.log10(most) - low)
    local parts = { text(10, 22, 15, "start", title) }
    for i, bar in ipairs(bars) do
        local y, length = 20 + i * 18, (math.log10(bar[2]) - low) * scale
        parts[#parts + 1] = text(295, y + 12, 11, "end", bar[1])
        parts[#parts + 1] = string.format(
            '<rect x="300" y="%d" width="%.1f" height="13" fill="%s"/>', y + 2, length,
            colour(bar[3]))
        parts[#parts + 1] = text(304 + length, y + 12, 11, "start", string.format("%.0f", bar[2]))
    end
    save(path, 800, 50 + #bars * 18, parts)
end

local function ticks(from, to, logarithmic)
    local list = {}
    if logarithmic then
        for power = math.floor(from), math.ceil(to) do
            if power >= from - 1e-9 and power <= to + 1e-9 then
                list[#list + 1] = { power, string.format("%g", 10 ^ power) }
            end
        end
    end
    if #list < 2 then
        list = {}
        for i = 0, 4 do
            local at = from + (to - from) * i / 4
            list[#list + 1] = { at, string.format("%.3g", logarithmic and 10 ^ at or at) }
        end
    end
    return list
end

local function range(series, axis, logarithmic)
    local from, to = math.huge, -math.huge
    for _, line in ipairs(series) do
        for _, point in ipairs(line.points) do
            local value = logarithmic and math.log10(point[axis]) or point[axis]
            from, to = math.min(from, value), math.max(to, value)
        end
    end
    if from == to then
        from, to = from - 0.5, to + 0.5
    end
    return from, to
end

-- One plot in a frame of 360 by 230, at a place.
local function frame(parts, left, top, plot)
    local x0, x1 = range(plot.series, 1, plot.log_x)
    local y0, y1 = range(plot.series, 2, plot.log_y)
    local width, height = 350, 200
    local function at(point)
        local x = plot.log_x and math.log10(point[1]) or point[1]
        local y = plot.log_y and math.log10(point[2]) or point[2]
        return left + (x - x0) / (x1 - x0) * width, top + height - (y - y0) / (y1 - y0) * height
    end

    parts[#parts + 1] = text(left, top - 8, 13, "start", plot.title)
    parts[#parts + 1] = string.format(
        '<rect x="%d" y="%d" width="%d" height="%d" fill="none" stroke="#999"/>', left, top, width,
        height)
    for _, tick in ipairs(ticks(x0, x1, plot.log_x)) do
        parts[#parts + 1] = text(left + (tick[1] - x0) / (x1 - x0) * width, top + height + 14, 10,
                                 "middle", tick[2])
    end
    for _, tick in ipairs(ticks(y0, y1, plot.log_y)) do
        parts[#parts + 1] = text(left - 5, top + height - (tick[1] - y0) / (y1 - y0) * height + 3,
                                 10, "end", tick[2])
    end
    for i, line in ipairs(plot.series) do
        local path = {}
        for _, point in ipairs(line.points) do
            path[#path + 1] = string.format("%.1f,%.1f", at(point))
        end
        parts[#parts + 1] = string.format(
            '<polyline points="%s" fill="none" stroke="%s" stroke-width="%g"%s/>',
            table.concat(path, " "), colour(line.name), line.bold and 3 or 1.3,
            line.dashed and ' stroke-dasharray="4 3"' or "")
        parts[#parts + 1] = string.format('<rect x="%d" y="%d" width="14" height="3" fill="%s"/>',
                                          left + width + 8, top + i * 15 - 8, colour(line.name))
        parts[#parts + 1] = text(left + width + 26, top + i * 15 - 3, 10, "start", line.name)
    end
end

--- Plots beside each other, two in a row: each { title, series = { { name, points = { {x, y} .. },
-- bold, dashed } .. }, log_x, log_y }.
function _M.lines(path, title, plots)
    local parts = { text(10, 22, 15, "start", title) }
    for i, plot in ipairs(plots) do
        frame(parts, 60 + (i - 1) % 2 * 540, 70 + math.floor((i - 1) / 2) * 270, plot)
    end
    save(path, 1120, 80 + math.ceil(#plots / 2) * 270, parts)
end

return _M
