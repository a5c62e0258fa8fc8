--- examples/compose, as far as it can be tried without docker and its images: what is said in
-- docker-compose.yml fits together, and what is put into the image works, in two nginxes that are
-- the two hosts.

local example = require "spec.support.example"
local published = require "spec.support.published"
local redis = require "spec.support.redis"
local run = require "spec.support.run"
local yaml = require "spec.support.yaml"

local replace_one = published.replace_one

local FOLDER = run.root .. "/examples/compose/"
local LUA_LIB_DIR = "/usr/local/openresty/lualib" -- where OpenResty's image looks

-- What the Dockerfile has make do, below a folder.  (What another make, which runs the specs, has
-- told its children is not meant for this one.)
local function install_below(root)
    local said, status = run.run({ "env", "-u", "MAKEFLAGS", "-u", "MAKELEVEL", "-u", "SUBMAKE",
        "make", "install", "DESTDIR=" .. root, "LUA_LIB_DIR=" .. LUA_LIB_DIR }, { seconds = 120 })
    assert(status == 0, said)
end

describe("the composition of examples/", function()
    local services, dockerfile, conf

    setup(function()
        services = yaml.parse(run.read_file(FOLDER .. "docker-compose.yml")).services
        dockerfile = run.read_file(FOLDER .. "Dockerfile")
        conf = run.read_file(FOLDER .. "nginx.conf")
    end)
    teardown(run.cleanup)

    it("names services, folders and files that there are", function()
        local seen, listens = {}, conf:match("listen (%d+);")
        for _, name in ipairs({ "one", "two" }) do
            local service = assert(services[name])
            local context = FOLDER .. service.build.context .. "/"
            assert.are.equal(run.read_file("Makefile"), run.read_file(context .. "Makefile"))
            assert.are.equal(dockerfile, run.read_file(context .. service.build.dockerfile))
            assert.are.same({ "redis" }, service.depends_on)
            local outside, inside = service.ports[1]:match("^127%.0%.0%.1:(%d+):(%d+)$")
            assert.are.equal(listens, inside)
            assert.is_nil(seen[outside])
            seen[outside] = true
        end
        assert.is_truthy(services[conf:match("redis://(%w+):6379/0")].image)
        for from in dockerfile:gmatch("\nCOPY (%S+) /") do
            assert.is_truthy(from:find("^%-%-from=build") or run.read_file(run.root .. "/" .. from)
                or from == ".", from)
        end
        assert.is_truthy(dockerfile:find(" LUA_LIB_DIR=" .. LUA_LIB_DIR .. "\n", 1, true))
    end)

    -- A host with what `make install` puts into the image, whose root is a folder here.
    local function start_host(image, server)
        local port = redis.free_port()
        local here = replace_one(conf, "listen 8080;", ("listen 127.0.0.1:%d;"):format(port))
        here = replace_one(here, "redis://redis:6379/0", server:url(0))
        here = replace_one(here, "ttl = 3600", "ttl = 3600, timeout = 20, connect_timeout = 20")
        here = replace_one(here, "http {\n", ('http {\n    lua_package_path "%s/?.lua;;";\n'
            .. '    lua_package_cpath "%s/?.so;;";\n'):format(image, image))
        local url = ("http://127.0.0.1:%d/"):format(port)
        example.start_nginx(run.temp_dir(), published.with_modules(here), url)
        return url
    end

    it("has two hosts of which each sees what the other, or redis-cli, has written", function()
        local root, server = run.temp_dir(), redis.start()
        install_below(root)
        local one = start_host(root .. LUA_LIB_DIR, server)
        local two = start_host(root .. LUA_LIB_DIR, server)

        assert.are.equal("nobody has said anything (none)\n", example.curl(one))
        assert.are.equal("true\n", example.curl(one .. "set?text=hello"))
        run.wait_until("both have it in memory", function()
            return example.curl(one) == "hello (memory)\n"
                and example.curl(two) == "hello (memory)\n"
        end)
        server:call("SET", "greeting:text", "changed")
        run.wait_until("both have the new one", function()
            return example.curl(one):find("^changed ") and example.curl(two):find("^changed ")
        end)
    end)
end)
