--- What became of many requests: counts and times by tier.

local format = string.format

local Tally = {}
Tally.__index = Tally

--- Microseconds for people.
local function time(us)
    if not us then
        return "-"
    elseif us < 10 then
        return format("%.1f us", us)
    elseif us < 1000 then
        return format("%.0f us", us)
    elseif us < 10000 then
        return format("%.2f ms", us / 1000)
    elseif us < 1000000 then
        return format("%.0f ms", us / 1000)
    end
    return format("%.2f s", us / 1000000)
end

local function percentile(list, fraction)
    return list[math.max(1, math.ceil(#list * fraction))]
end

local function new()
    return setmetatable({ rows = {}, order = {}, workers = {}, all = 0, lost = 0, bad = 0 }, Tally)
end

local function row_of(self, name)
    local row = self.rows[name]
    if not row then
        row = { count = 0, took = {}, client = {} }
        self.rows[name] = row
        self.order[#self.order + 1] = name
    end
    return row
end

--- Adds an answer of the client.
function Tally:add(answer)
    self.all = self.all + 1
    if answer.lost then
        self.lost = self.lost + 1
        self.reason = self.reason or answer.path .. ": " .. answer.lost
        return
    end
    local expected = answer.path == "/ping" and 204 or 200
    if answer.status ~= expected then
        self.bad = self.bad + 1
        self.reason = self.reason or answer.path .. ": status " .. tostring(answer.status)
        return
    end
    local row = row_of(self, answer.tier or "(/ping)")
    row.count = row.count + 1
    row.took[#row.took + 1] = answer.took_us
    row.client[#row.client + 1] = answer.client_us
    if answer.worker then
        self.workers[answer.worker] = (self.workers[answer.worker] or 0) + 1
    end
end

--- Answers by a tier.
function Tally:count(name)
    return self.rows[name] and self.rows[name].count or 0
end

--- The time at the client that a fraction of a tier's answers did not exceed, in microseconds.
function Tally:client_us(name, fraction)
    local row = self.rows[name]
    if not row then
        return nil
    end
    table.sort(row.client)
    return percentile(row.client, fraction)
end

local LINE = "     %-10s %8s   %9s %9s   %9s %9s %9s"

--- The lines of a table.
function Tally:lines()
    local lines = {
        format("     %-10s %8s   %19s   %29s", "", "", "in the handler", "at the client"),
        format(LINE, "from", "answers", "p50", "p99", "p50", "p99", "max"),
    }
    for _, name in ipairs(self.order) do
        local row = self.rows[name]
        table.sort(row.took)
        table.sort(row.client)
        lines[#lines + 1] = format(LINE, name, row.count,
            time(percentile(row.took, 0.5)), time(percentile(row.took, 0.99)),
            time(percentile(row.client, 0.5)), time(percentile(row.client, 0.99)),
            time(row.client[#row.client]))
    end
    return lines
end

return { new = new, time = time }
