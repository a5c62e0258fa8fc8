--- One process and two at once.

local nginx = require "lib.nginx"
local numbers = require "lib.numbers"
local report = require "lib.report"
local shell = require "lib.shell"

local function measure(context)
    if tonumber(shell.output("nproc")) < 2 then
        report.say("  there is one core: two processes cannot work at once")
        return nil
    end
    local result = {}
    for _, value in ipairs { 100, 1024 } do
        local r = nginx.run("mixed", {
            size = "128m", keys = 50000, value = value, rounds = context.quick and 1 or 9,
            calls = context.quick and 100000 or 400000,
        }, {
            workers = 2, folder = context.scratch, bench = context.bench,
            dicts = { bench = "128m", meeting = "1m" },
        })
        local function speed(how, name)
            return numbers.median(r[how][name])
        end
        report.say("  90/10 zipf, %d B, million calls a second: tandem %.2f alone, %.2f by two; "
                   .. "shdict %.2f, %.2f", value, speed("one", "tandem") / 1e6,
                   speed("two", "tandem") / 1e6, speed("one", "shdict") / 1e6,
                   speed("two", "shdict") / 1e6)
        local apart = report.ratio(r.two.apart, r.one.apart)
        report.say("  each of two with a cache of its own: %.2f times one", apart)
        local what = string.format("two processes, 90/10 zipf, %d B: ", value)
        report.target(what .. "times shdict's throughput",
                      report.ratio(r.two.tandem, r.two.shdict), 4)
        report.target(what .. "times our own single process",
                      report.ratio(r.two.tandem, r.one.tandem), 1.8, false,
                      ("%.2f is what two get of this machine that share nothing"):format(apart))
        result["of " .. value] = r
    end
    return result
end

return { needs = { "nginx" }, run = measure }
