-- The messages that the README quotes under "First errors" are those that one gets: each is
-- provoked.

local nginx = require "spec.support.nginx"
local redis = require "spec.support.redis"
local run = require "spec.support.run"

local TEXT = assert(run.read_file(run.root .. "/README.md"):match("\n## First errors\n(.-)\n## "))

-- What a quoted message matches: "…" stands for anything.
local function pattern_of(message)
    return (message:gsub("[%^%$%(%)%%%.%[%]%*%+%-%?]", "%%%0"):gsub("…", ".*"))
end

local quoted, wanted = {}, {}
for message in TEXT:gmatch("\n| `([^|]+)` |") do
    quoted[#quoted + 1] = pattern_of(message)
    wanted[quoted[#quoted]] = true
end

describe("the first errors of the README", function()
    local folder

    setup(function()
        folder = run.temp_dir()
        run.copy_tree(run.root .. "/lua", folder .. "/lua")
    end)
    teardown(function()
        run.cleanup()
        assert.same({}, wanted) -- each has been seen
    end)

    -- One of the messages is in what was said; which one must not have been seen before.
    local function expect(said)
        for _, pattern in ipairs(quoted) do
            if said:find(pattern) and wanted[pattern] then
                wanted[pattern] = nil
                return
            end
        end
        error("the README does not quote:\n" .. said, 2)
    end

    -- What a script says that runs with these paths.
    local function said_by(code, lua_path, lua_cpath)
        return (run.run({ run.luajit, "-e", code }, { env = {
            LUA_PATH = lua_path or run.root .. "/lua/?.lua;;",
            LUA_CPATH = lua_cpath or run.root .. "/build/?.so;;", TANDEM_LIBRARY = false,
        } }))
    end

    local function said_by_method(call, options)
        return said_by(('local tandem = require "resty.tandem"\n'
                        .. 'local cache = assert(tandem.new("first", { memory = "1m", %s }))\n'
                        .. "print(%s)"):format(options or "", call))
    end

    it("are said where paths or files are wrong", function()
        local copy = folder .. "/lua/?.lua;;"
        local cdef = folder .. "/lua/resty/tandem/cdef.lua"
        expect(said_by('require "resty.tandem"', folder .. "/nothing/?.lua"))
        expect(said_by('require "resty.tandem"', copy, folder .. "/?.so"))
        run.write_file(cdef, (run.read_file(cdef):gsub('id = "[^"]*"', 'id = "0.0.0-1"', 1)))
        expect(said_by('require "resty.tandem"', copy))
        assert(os.remove(cdef))
        expect(said_by('require "resty.tandem"', copy))
    end)

    it("are said where a cache cannot be opened", function()
        expect(said_by_method("cache:get('key')", 'memroy = "8m"'))
        expect(said_by_method("cache:get('key')", 'timeout = 250'))
        expect(said_by_method("cache:get('key')", 'redis = "localhost:6379"'))
        expect(said_by_method("cache:get('key')", 'redis = { host = "localhost" }'))
        expect(said_by_method("tandem:new('first')"))
        expect(said_by('package.preload["cjson.safe"] = error\n'
                       .. 'print(pcall(require("resty.tandem").new, "first", { codec = "json" }))'))
        expect(said_by_method("tandem.new('first', { memory = '2m' })"))
        expect(said_by_method("tandem.new('other', { memory = '2m', path = '" .. folder
                              .. "/segment' })", 'path = "' .. folder .. '/segment"'))
    end)

    it("are said where a cache is used", function()
        expect(said_by_method("cache:set('key', { 1 })"))
        expect(said_by_method("cache.get('key')"))
        local port = redis.free_port()
        local options = 'redis = "%s", timeout = 20, connect_timeout = 20'
        expect(said_by_method("cache:get('key')", options:format("redis://127.0.0.1:" .. port)))
        local server = redis.start({ password = "s3cret" })
        expect(said_by_method("cache:get('key')", options:format(server:url())))
        server:stop()
    end)

    it("are said in phases in which Redis cannot be asked", function()
        local web = nginx.start({
            workers = 1,
            init = ('local cache = assert(require("resty.tandem").new("first", { redis = '
                    .. '"redis://127.0.0.1:%d" }))\n'):format(redis.free_port())
                .. 'early = tostring(select(2, cache:get("key")))\npackage.loaded.first = cache',
            server = [[
                location = /early { content_by_lua_block { ngx.print(early) } }
                location = /late {
                    header_filter_by_lua_block {
                        ngx.header["X-Err"] = select(2, require("first"):get("key"))
                    }
                    return 200 "late";
                }
            ]],
        })
        expect(web:get("/early").body)
        expect(web:get("/late").headers["x-err"])
        web:stop()
    end)

    -- nginx, which does not start with a configuration that its http block has these lines of.
    local function said_by_nginx(lines)
        local conf = folder .. "/nginx.conf"
        run.write_file(conf, ("%spid %s/pid;\nevents {}\nhttp {\n%s\ninit_by_lua_block { }\n}\n")
            :format(nginx.load_modules(), folder, lines))
        return (run.run({ run.nginx, "-p", folder, "-c", conf, "-e", "stderr" },
                        { env = { LUA_PATH = false, LUA_CPATH = false } }))
    end

    it("are said by nginx where lua-resty-core is another one, or is not there", function()
        local found = assert(package.searchpath("resty.core.base", package.path
            .. ";/usr/share/lua/5.1/?.lua;/usr/local/openresty/lualib/?.lua"))
        run.copy_tree(found:match("^(.*)/core/base%.lua$"), folder .. "/resty")
        local base = folder .. "/resty/core/base.lua"
        local text, n = run.read_file(base)
            :gsub("ngx_lua_version ~= %d+", "ngx_lua_version ~= 10001")
        assert.is_true(n > 0)
        run.write_file(base, text)
        expect(said_by_nginx(('lua_package_path "%s/?.lua;;";'):format(folder)))
        expect(said_by_nginx('lua_package_path "/nowhere/?.lua";'))
    end)
end)
