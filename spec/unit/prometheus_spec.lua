-- The text for Prometheus.

local caches = require "spec.support.caches"
local json = require "cjson"
local prometheus = require "resty.tandem.prometheus"
local redis = require "spec.support.redis"
local run = require "spec.support.run"

-- Reads the text format: name -> { type=, help=, samples = labels -> number }.  Raises at whatever
-- a line has that the format has not.
local function parse(text)
    local families, current = {}, nil
    assert.is_true(text == "" or text:sub(-1) == "\n")
    for line in text:gmatch("([^\n]*)\n") do
        local name, help = line:match("^# HELP ([%a_][%w_]*) (.+)$")
        if name then
            assert.is_nil(families[name], name .. " comes twice")
            current = { name = name, help = help, samples = {} }
            families[name] = current
        elseif line:match("^# TYPE ") then
            local typed, kind = line:match("^# TYPE (%S+) (%l+)$")
            assert.equal(current.name, typed)
            assert.is_true(kind == "counter" or kind == "gauge" or kind == "histogram")
            current.type = kind
        else
            local of, labels, number = line:match('^([%a_][%w_]*){(.+)} (%S+)$')
            if current.type == "histogram" then
                local base, part = of:match("^(.*)_(%l+)$")
                assert.is_true(part == "bucket" or part == "sum" or part == "count", line)
                of, labels = base, part .. " " .. labels
            end
            assert.equal(current.name, of, line)
            assert.is_truthy(current.type, line)
            assert.is_nil(current.samples[labels], line)
            current.samples[labels] = assert(tonumber(number), line)
        end
    end
    return families
end

describe("the text for Prometheus", function()
    teardown(run.cleanup)

    it("has each counter of stats(), by the conventions for names", function()
        local cache = caches.open({}, "numbers")
        cache:set("key", "value")
        cache:get("key")
        cache:get("another")
        local text, content_type = prometheus.collect()
        assert.equal("text/plain; version=0.0.4; charset=utf-8", content_type)
        local families, stats, rows = parse(text), cache:stats(), 0
        for name, family in pairs(families) do
            assert.equal(family.type == "counter", name:find("_total$") ~= nil, name)
            assert.is_truthy(name:find("^tandem_"), name)
        end
        for _, row in ipairs(require("resty.tandem.metrics").rows()) do
            rows = rows + 1
            if row.kind == "histogram" then
                local name = "tandem_" .. row.tier .. "_" .. row.name .. "_seconds"
                assert.equal("histogram", assert(families[name], name).type)
                assert.equal(row.help, families[name].help)
            elseif row.unit == "" then
                local name = "tandem_" .. row.tier .. "_" .. row.name
                    .. (row.kind == "counter" and "_total" or "")
                local family = assert(families[name], name)
                assert.equal(row.kind, family.type)
                assert.equal(row.help, family.help)
                assert.equal(stats[row.tier][row.name], family.samples['cache="numbers"'], name)
            end
        end
        assert.is_true(rows > 30)
        assert.equal(stats.memory.live_bytes,
                     families.tandem_memory_live_bytes.samples['cache="numbers"'])
        assert.equal(0, families.tandem_redis_out_bytes_total.samples['cache="numbers"'])
        assert.equal(1, families.tandem_hits_total.samples['cache="numbers"'])
        assert.equal(1, families.tandem_misses_total.samples['cache="numbers"'])
        local up = families.tandem_redis_up
        assert.is_nil(up and up.samples['cache="numbers"'], "a cache without Redis")
        cache:close()
    end)

    it("has histograms that are true to stats(), and to themselves", function()
        local cache = caches.open({}, "times")
        for i = 1, 3 do
            assert.equal("value", (cache:fetch("key" .. i, function()
                run.nap(30)
                return "value"
            end)))
        end
        assert.is_nil((cache:fetch("none", function() return nil, "an error" end)))
        local load = cache:stats().fetch.load
        assert.equal(25, #require("cjson").decode(require("cjson").encode(load)).buckets)
        local samples = parse((prometheus.collect())).tandem_fetch_load_seconds.samples
        local before, from = 0, 0
        for _, bucket in ipairs(load.buckets) do
            local le = bucket.le and ("%.6g"):format(bucket.le) or "+Inf"
            local labels = 'bucket cache="times",le="' .. le .. '"'
            assert.equal(bucket.count, samples[labels], labels)
            assert.is_true(bucket.count >= before and (bucket.le or math.huge) > from,
                           labels)
            before, from = bucket.count, bucket.le
            samples[labels] = nil
        end
        assert.equal(25, #load.buckets)
        assert.equal(4, before)
        assert.equal(4, load.count)
        assert.equal(4, samples['count cache="times"'])
        assert.equal(load.sum, samples['sum cache="times"'])
        assert.is_true(load.sum >= 0.09, load.sum)
        assert.is_true(load.p50 > 0.02 and load.p50 <= load.p99, load.p50)
        samples['count cache="times"'], samples['sum cache="times"'] = nil, nil
        for labels in pairs(samples) do
            assert.is_nil(labels:find('"times"', 1, true), labels)
        end
        assert.is_nil(cache:stats().redis.round_trip.p50)
        cache:close()
    end)

    it("tells the caches of a Lua VM apart, each once", function()
        local one, two = caches.open({}, "one"), caches.open({ memory = "4m" }, "two")
        local again = caches.open({ ttl = 5 }, "one")
        one:set("a", "1")
        again:set("b", "2")
        local function entries(name)
            local family = parse((prometheus.collect())).tandem_memory_entries
            return family and family.samples['cache="' .. name .. '"']
        end
        assert.equal(2, entries("one"))
        assert.equal(0, entries("two"))
        two:close()
        assert.is_nil(entries("two"))
        assert.equal(2, entries("one"))
        one:close()
        assert.equal(2, entries("one"))
        again:close()
        assert.is_nil(entries("one"))
    end)

    it("adds the caller's labels, whatever is in them", function()
        local cache = caches.open({}, "labelled")
        local text = prometheus.collect({ zone = 'a "b"\\\nc', host = "h" })
        local entries = parse(text).tandem_memory_entries
        assert.equal(0, entries.samples[ [[cache="labelled",host="h",zone="a \"b\"\\\nc"]] ])
        cache:close()
    end)

    it("says whether Redis and the tracking link are up", function()
        local server = redis.start()
        local cache = caches.on(server, { max_stale = 2, timeout = 5 }, "up")
        cache:get("key")
        local families = parse((prometheus.collect()))
        assert.equal(1, families.tandem_redis_up.samples['cache="up"'])
        assert.equal(1, families.tandem_tracking_on.samples['cache="up"'])
        cache:close()
    end)

    it("is not served where there is no request", function()
        local ok, err = pcall(prometheus.serve)
        assert.is_false(ok)
        assert.is_truthy(err:find("there is no request to answer here", 1, true), err)
    end)

    it("has every name that the dashboard, the alerts and docs/operations.md go by", function()
        local server = redis.start()
        caches.on(server, { max_stale = 5 }, "named")
        local families = parse((prometheus.collect()))
        for _, file in ipairs { "prometheus/dashboard.json", "prometheus/alerts.yml",
                                "operations.md" } do
            local text, count = run.read_file(run.root .. "/docs/" .. file), 0
            for name in text:gmatch("tandem_[%l_]+%l") do
                count = count + 1
                local base, part = name:match("^(.*)_(%l+)$")
                local is_part = part == "bucket" or part == "sum" or part == "count"
                assert.is_truthy(families[name] or is_part and families[base],
                                 name .. " in " .. file)
            end
            assert.is_true(count > 5, file)
        end
        local dashboard = json.decode(run.read_file(run.root .. "/docs/prometheus/dashboard.json"))
        local ids = {}
        for _, panel in ipairs(dashboard.panels) do
            assert.is_nil(ids[panel.id])
            ids[panel.id] = true
            assert.is_true(panel.gridPos.x + panel.gridPos.w <= 24, panel.title)
        end
    end)
end)
