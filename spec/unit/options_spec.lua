local options = require "resty.tandem.options"

local MB = 1024 * 1024

local function problem(opts)
    local checked, sentence = options.check("x", opts)
    assert.is_nil(checked)
    return sentence
end

describe("the name", function()
    it("is 1 to 63 characters of a small set", function()
        assert.are.equal("a-b_c.9", options.check("a-b_c.9").name)
        assert.is_table(options.check(("n"):rep(63)))
    end)

    local rule = "name must be 1 to 63 of the characters A-Z a-z 0-9 _ . -, got "
    for given, shown in pairs({
        [""] = '""', ["a b"] = '"a b"', ["a/b"] = '"a/b"', ["\200"] = '"\\xc8"',
        ["a\0"] = '"a\\x00"',
        [("n"):rep(64)] = '"' .. ("n"):rep(48) .. '..."', [7] = "7", [true] = "true",
    }) do
        it("is not " .. shown, function()
            local checked, sentence = options.check(given)
            assert.is_nil(checked)
            assert.are.equal(rule .. shown, sentence)
        end)
    end

    it("is not missing", function()
        local _, sentence = options.check(nil)
        assert.are.equal(rule .. "nil", sentence)
    end)
end)

describe("defaults", function()
    it("are those of the documentation", function()
        local o = options.check("x")
        assert.are.equal(64 * MB, o.memory)
        assert.is_nil(o.entry_size)
        assert.is_nil(o.path)
        assert.is_nil(o.redis)
        assert.are.equal("x:", o.prefix)
        assert.are.equal(0, o.ttl)
        assert.are.equal(3600000, o.memory_ttl)
        assert.are.equal("string", o.codec.name)
        assert.are.equal("through", o.write)
        assert.are.equal("degrade", o.on_redis_error)
        assert.are.equal("write", o.replay)
        assert.is_true(o.tracking)
        assert.are.equal(2000, o.max_stale)
        assert.are.equal(500, o.connect_timeout)
        assert.are.equal(250, o.timeout)
        assert.are.equal(5000, o.neg_ttl)
        assert.are.equal(0, o.stale_ttl)
        assert.are.equal(0, o.jitter)
        assert.are.equal(0, o.refresh_ahead)
        assert.are.equal(5000, o.lock_timeout)
        assert.is_nil(o.soft_timeout)
        assert.are.equal(30000, o.hard_timeout)
        assert.are.equal("host", o.lock)
        assert.is_false(o.tags)
        assert.is_false(o.freeze)
        assert.are.same({ entries = 10000, bytes = 16 * MB }, o.near)
        assert.is_nil(o.runtime_dir)
    end)

    it("do not change the table that was given", function()
        local given = { ttl = 3 }
        options.check("x", given)
        assert.are.same({ ttl = 3 }, given)
    end)
end)

describe("good values", function()
    local function option(name, value)
        local checked, sentence = options.check("x", { [name] = value })
        assert.is_nil(sentence)
        return checked[name]
    end

    it("of memory are bytes or a size", function()
        assert.are.equal(MB, option("memory", "1m"))
        assert.are.equal(MB, option("memory", "1024K"))
        assert.are.equal(MB, option("memory", "1048576"))
        assert.are.equal(2 * 1024 * MB, option("memory", "2g"))
        assert.are.equal(3 * MB + 1, option("memory", 3 * MB + 1))
        assert.are.equal(1, option("entry_size", 1))
        assert.are.equal(2048, option("entry_size", "2k"))
        assert.are.equal(8 * MB, option("entry_size", "8m"))
    end)

    it("of durations are seconds, and become whole milliseconds, at least 1", function()
        assert.are.equal(1500, option("ttl", 1.5))
        assert.are.equal(300, option("ttl", 0.3))
        assert.are.equal(1, option("ttl", 0.0001))
        assert.are.equal(0, option("ttl", 0))
        assert.are.equal(1, option("timeout", 1e-9))
        assert.are.equal(0, option("max_stale", 0))
    end)

    it("of redis are a URL or a table", function()
        assert.are.same({ url = "redis://h" }, option("redis", "redis://h"))
        local given = { url = "redis://h", username = "u", password = "p", client_name = "c" }
        assert.are.same(given, option("redis", given))
    end)

    it("of near are a table or a boolean", function()
        assert.is_false(option("near", false))
        assert.are.same({ entries = 10000, bytes = 16 * MB }, option("near", true))
        assert.are.same({ entries = 5, bytes = 2 * MB },
                        option("near", { entries = 5, bytes = "2m" }))
    end)

    it("of the prefix are any bytes, none included", function()
        assert.are.equal("", option("prefix", ""))
        assert.are.equal("a\0b", option("prefix", "a\0b"))
    end)

    it("of what only fetch will use are taken", function()
        for name, value in pairs({
            neg_ttl = 0, stale_ttl = 60, jitter = 1, refresh_ahead = 1, lock_timeout = 1,
            soft_timeout = 0, hard_timeout = 1,
        }) do
            assert.is_number(option(name, value))
        end
        assert.are.equal("delete", option("replay", "delete"))
        assert.is_true(option("freeze", true))
    end)
end)

-- Every option, out of range and of the wrong type: option, value, what the sentence says.
local nan, inf = 0 / 0, math.huge
local CODEC = 'must be "string", "json", "buffer" or {name=, encode=, decode=}, got '
local SIZE = 'must be a size such as "64k", "64m" or "2g", or a number of bytes, got '
local BAD = {
    { "memory", "64k", 'must be at least 1m, got "64k"' },
    { "memory", 1024, "must be at least 1m, got 1024" },
    { "memory", MB - 1, "must be at least 1m, got 1048575" },
    { "memory", -1, "must be at least 1m, got -1" },
    { "memory", "", SIZE .. '""' },
    { "memory", "64mb", SIZE .. '"64mb"' },
    { "memory", "-64m", SIZE .. '"-64m"' },
    { "memory", "1.5g", SIZE .. '"1.5g"' },
    { "memory", true, SIZE .. "true" },
    { "memory", {}, SIZE .. "table" },
    { "memory", MB + 0.5, "must be a whole number of bytes, got 1048576.5" },
    { "memory", nan, "must be a finite number of bytes, got nan" },
    { "memory", inf, "must be a finite number of bytes, got inf" },
    { "memory", "9007199254740993g", 'must be at most 256g, got "9007199254740993g"' },
    { "memory", "257g", 'must be at most 256g, got "257g"' },
    { "entry_size", 0, "must be at least 1 byte, got 0" },
    { "entry_size", 100.5, "must be a whole number of bytes, got 100.5" },
    { "entry_size", "9m", 'must be at most 8m, got "9m"' },
    { "entry_size", false, SIZE .. "false" },
    { "path", 5, "must be a string, got 5" },
    { "path", "", 'must not be empty, got ""' },
    { "path", "/a\0b", 'must not contain a zero byte, got "/a\\x00b"' },
    { "redis", 6379, 'must be a URL such as "redis://127.0.0.1:6379/0", or a table, got 6379' },
    { "redis", true, 'must be a URL such as "redis://127.0.0.1:6379/0", or a table, got true' },
    { "prefix", 5, "must be a string, got 5" },
    { "prefix", {}, "must be a string, got table" },
    { "codec", 5, CODEC .. "5" },
    { "codec", "xml", CODEC .. '"xml"' },
    { "write", "back", 'must be "through" or "behind", got "back"' },
    { "write", true, 'must be "through" or "behind", got true' },
    { "on_redis_error", "ignore", 'must be "degrade" or "fail", got "ignore"' },
    { "on_redis_error", 1, 'must be "degrade" or "fail", got 1' },
    { "replay", "none", 'must be "write" or "delete", got "none"' },
    { "replay", false, 'must be "write" or "delete", got false' },
    { "tracking", 1, "must be a boolean, got 1" },
    { "tracking", "off", 'must be a boolean, got "off"' },
    { "freeze", "yes", 'must be a boolean, got "yes"' },
    { "tags", 1, "must be a boolean, got 1" },
    { "lock", "none", 'must be "host" or "redis", got "none"' },
    { "near", 5, "must be a table or a boolean, got 5" },
    { "runtime_dir", 5, "must be a string, got 5" },
    { "runtime_dir", "", 'must not be empty, got ""' },
    { "jitter", -0.1, "must be >= 0, got -0.1" },
    { "jitter", 1.1, "must be <= 1, got 1.1" },
    { "jitter", nan, "must be a finite number, got nan" },
    { "jitter", "0", 'must be a number, got "0"' },
    { "refresh_ahead", -1, "must be >= 0, got -1" },
    { "refresh_ahead", true, "must be a number, got true" },
}

local DURATIONS = {
    ttl = ">= 0", memory_ttl = "> 0", max_stale = ">= 0", connect_timeout = "> 0", timeout = "> 0",
    neg_ttl = ">= 0", stale_ttl = ">= 0", lock_timeout = "> 0", soft_timeout = ">= 0",
    hard_timeout = "> 0",
}
for name, bound in pairs(DURATIONS) do
    BAD[#BAD + 1] = { name, -1, "must be " .. bound .. ", got -1" }
    BAD[#BAD + 1] = { name, "5", 'must be a number, got "5"' }
    BAD[#BAD + 1] = { name, {}, "must be a number, got table" }
    BAD[#BAD + 1] = { name, nan, "must be a finite number, got nan" }
    BAD[#BAD + 1] = { name, inf, "must be a finite number, got inf" }
    if bound == "> 0" then
        BAD[#BAD + 1] = { name, 0, "must be > 0, got 0" }
    end
    local most = (name == "connect_timeout" or name == "timeout") and "60" or "3153600000"
    BAD[#BAD + 1] = { name, 1e11, "must be <= " .. most .. " seconds, got 100000000000" }
end

describe("a bad value", function()
    for _, row in ipairs(BAD) do
        local name, value, sentence = row[1], row[2], row[3]
        it("of " .. name .. " " .. sentence, function()
            assert.are.equal("opts." .. name .. " " .. sentence, problem({ [name] = value }))
        end)
    end

    it("is looked for in every option", function()
        local tried = {}
        for _, row in ipairs(BAD) do
            tried[row[1]] = true
        end
        for _, row in ipairs(options.rows) do
            assert.is_true(tried[row.name], "nothing bad was tried for " .. row.name)
        end
    end)

    it("of opts itself is named", function()
        assert.are.equal('opts must be a table, got "64m"', problem("64m"))
        assert.are.equal("opts must have names as keys, got 1", problem({ "64m" }))
    end)
end)

describe("the table of redis", function()
    it("needs a url", function()
        assert.are.equal("opts.redis.url is required", problem({ redis = {} }))
        assert.are.equal("opts.redis.url must be a string, got number",
                         problem({ redis = { url = 5 } }))
        assert.are.equal("opts.redis.url must not be empty, got string", problem({ redis = "" }))
    end)

    it("has in its url what others have fields for", function()
        for _, name in ipairs({ "host", "port", "db", "database", "socket" }) do
            assert.are.equal("opts.redis." .. name .. ': it is in the URL, as in url = '
                             .. '"redis://127.0.0.1:6379/0"', problem({ redis = { [name] = 1 } }))
        end
    end)

    it("has no other fields", function()
        assert.are.equal('unknown option opts.redis.pasword: did you mean "password"?',
                         problem({ redis = { url = "redis://h", pasword = "s3cret" } }))
    end)

    it("has replicas read from where there are some, and the other options let it", function()
        local function replicas(value, url, opts)
            opts = opts or {}
            opts.redis = { url = url or "redis+cluster://h", replicas = value }
            return problem(opts)
        end
        assert.are.equal('opts.redis.replicas must be "never" or "fallback" or "prefer", '
                         .. 'got "always"',
                         replicas("always"))
        for _, value in ipairs { "fallback", "prefer" } do
            assert.are.equal(('opts.redis.replicas = "%s", but opts.redis.url is of neither '
                              .. "sentinels nor a cluster"):format(value),
                             replicas(value, "redis://h"))
            assert.is_table(options.check("x", {
                redis = { url = "redis+sentinel://h/m", replicas = value },
            }))
            assert.are.equal(('opts.redis.replicas = "%s": what may have tags is not read from '
                              .. "replicas"):format(value),
                             replicas(value, nil, { tags = true, prefix = "{x}" }))
        end
        assert.are.equal('opts.redis.replicas = "fallback" answers with what may be stale, and '
                         .. 'opts.on_redis_error = "fail" wants an error',
                         replicas("fallback", nil, { on_redis_error = "fail" }))
        local untold = ": what a replica has is only as good as what we are told of changes"
        assert.are.equal('opts.redis.replicas = "prefer" needs opts.tracking' .. untold,
                         replicas("prefer", nil, { tracking = false }))
        assert.are.equal('opts.redis.replicas = "prefer" needs an opts.max_stale above 0' .. untold,
                         replicas("prefer", nil, { max_stale = 0 }))
        for value, url in pairs({ fallback = "Redis+Cluster://h", never = "redis://h",
                                  prefer = "rediss+cluster://h" }) do
            assert.are.equal(value, options.check("x", {
                redis = { url = url, replicas = value },
                on_redis_error = value ~= "fallback" and "fail" or nil,
            }).redis.replicas)
        end
    end)

    it("has a map of addresses where servers tell of others", function()
        local function map(value, url)
            return problem({ redis = { url = url or "redis+cluster://h", address_map = value } })
        end
        assert.are.equal('opts.redis.address_map must be a table such as '
                         .. '{ ["10.0.0.1:6379"] = "203.0.113.1:7001" }, got "a"', map("a"))
        assert.are.equal("opts.redis.address_map must not be empty", map({}))
        for _, key in ipairs({ "10.0.0.1", "h:0", "h:65536", "h h:1", "::1:1", "redis://h:1",
                               ("h"):rep(254) .. ":1" }) do
            assert.are.equal('opts.redis.address_map must have addresses such as "10.0.0.1:6379" '
                             .. 'as keys, got "' .. key:sub(1, 48) .. (#key > 48 and '..."' or '"'),
                             map({ [key] = "h:1" }))
        end
        assert.are.equal('opts.redis.address_map must have addresses such as "10.0.0.1:6379" as '
                         .. "keys, got 1", map({ "h:1" }))
        assert.are.equal('opts.redis.address_map["a:1"] must be an address such as '
                         .. '"203.0.113.1:7001", got "b"', map({ ["a:1"] = "b" }))
        local many = {}
        for port = 1, 1025 do
            many["h:" .. port] = "h:1"
        end
        assert.are.equal("opts.redis.address_map must have at most 1024 addresses, got 1025",
                         map(many))
        assert.are.equal("opts.redis.address_map is given, but opts.redis.url is of neither "
                         .. "sentinels nor a cluster", map({ ["a:1"] = "b:1" }, "redis://h"))
        for _, url in ipairs({ "redis+cluster://h", "Redis+Sentinel://h/m" }) do
            assert.are.equal("[::1]:3=c_d:4,a.b:1=10.0.0.1:2", options.check("x", { redis = {
                url = url, address_map = { ["a.b:1"] = "10.0.0.1:2", ["[::1]:3"] = "c_d:4" },
            } }).redis.address_map)
        end
    end)

    it("never shows a secret", function()
        for _, redis in ipairs({
            "redis://u:s3cret@h\0", { url = "redis://:s3cret@h\0" },
            { url = "redis://h", password = "s3cret\0" },
            { url = "redis://h", username = "s3cret\0" },
            { url = "redis://h", password = { "s3cret" } },
        }) do
            local sentence = problem({ redis = redis })
            assert.is_nil(sentence:find("s3cret", 1, true), sentence)
            assert.is_truthy(sentence:find("opts.redis.", 1, true), sentence)
        end
    end)
end)

describe("the table of TLS", function()
    it("is checked too", function()
        local function tls(value, url)
            return problem({ redis = { url = url or "rediss://h", tls = value } })
        end
        assert.are.equal("opts.redis.tls must be a table, got true", tls(true))
        assert.are.equal("opts.redis.tls.ca must not be empty, got \"\"", tls({ ca = "" }))
        assert.are.equal("opts.redis.tls.verify must be a boolean, got \"no\"",
                         tls({ verify = "no" }))
        assert.are.equal('unknown option opts.redis.tls.server: did you mean "server_name"?',
                         tls({ server = "h" }))
        assert.is_nil(tls({ key = "/secret\0" }):find("secret", 1, true))
        for _, url in ipairs({ "redis://h", "unix:///h", "redis://rediss://" }) do
            assert.are.equal(
                "opts.redis.tls is given, but opts.redis.url does not begin with rediss:// or "
                .. "rediss+cluster://",
                tls({ verify = true }, url))
        end
    end)

    it("verifies unless told otherwise", function()
        for _, url in ipairs({ "Rediss://h", "rediss+Cluster://h" }) do
            local checked = options.check("x", { redis = { url = url, tls = {} } })
            assert.is_true(checked.redis.tls.verify)
        end
    end)
end)

describe("the table of near", function()
    it("is checked too", function()
        assert.are.equal("opts.near.entries must be >= 1, got 0",
                         problem({ near = { entries = 0 } }))
        assert.are.equal("opts.near.entries must be a whole number, got 1.5",
                         problem({ near = { entries = 1.5 } }))
        assert.are.equal('unknown option opts.near.entires: did you mean "entries"?',
                         problem({ near = { entires = 1 } }))
    end)
end)

describe("lock = \"redis\"", function()
    it("needs one", function()
        assert.are.equal('opts.lock = "redis" needs a Redis, and there is no opts.redis',
                         problem({ lock = "redis" }))
        assert.are.equal("redis", options.check("x", { lock = "redis", redis = "redis://h" }).lock)
    end)
end)

describe("an unknown option", function()
    for given, meant in pairs({
        memroy = "memory", Memory = "memory", redis_url = "redis", tracing = "tracking",
        tll = "ttl",
        timeouts = "timeout", conect_timeout = "connect_timeout", runtimedir = "runtime_dir",
        on_error = "on_redis_error",
    }) do
        it(given .. " is taken for " .. meant, function()
            assert.are.equal(('unknown option opts.%s: did you mean "%s"?'):format(given, meant),
                             problem({ [given] = 1 }))
        end)
    end

    it("that resembles none is just named", function()
        assert.are.equal("unknown option opts.zzzzzzzz", problem({ zzzzzzzz = 1 }))
    end)

    it("is the first one by name", function()
        assert.are.equal("unknown option opts.aaaa", problem({ zzzz = 1, aaaa = 1, yyyy = 1 }))
    end)
end)
