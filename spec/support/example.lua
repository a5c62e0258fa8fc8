--- An example of examples/, run in a folder of its own.

local published = require "spec.support.published"
local redis = require "spec.support.redis"
local run = require "spec.support.run"

local replace_one = published.replace_one

local _M = {}

--- Starts nginx with a configuration of the documents, and waits until it answers at a URL.
function _M.start_nginx(folder, conf, url)
    local nginx = published.start(folder, conf)
    run.wait_until("nginx listens", function()
        assert(nginx:alive(), run.read_file(folder .. "/output"))
        local _, status = run.run({ "curl", "-s", "-o", "/dev/null", url })
        return status == 0
    end)
    return nginx
end

--- Starts an example as it stands there, but for ports, the folders of this source tree, and
-- `edits` of its files: a list of { file, what, with }, as of times, which are longer than a test.
-- Returns the URLs of its servers, and its folder.
function _M.start(name, server, edits)
    local parent, ports = run.temp_dir(), { redis.free_port(), redis.free_port() }
    local folder = parent .. "/example"
    run.copy_tree(run.root .. "/examples/" .. name, folder)
    for _, shared in ipairs({ "/secret.lua", "/http.lua" }) do
        local code = run.read_file(run.root .. "/examples" .. shared)
        run.write_file(parent .. shared, (code:gsub("1000, 5000, 5000", "20000, 20000, 20000")))
    end
    for _, edit in ipairs(edits) do
        local path = folder .. "/" .. edit[1]
        run.write_file(path, replace_one(run.read_file(path), edit[2], edit[3]))
    end
    local conf = run.read_file(folder .. "/nginx.conf")
    conf = conf:gsub("808([01])", { ["0"] = tostring(ports[1]), ["1"] = tostring(ports[2]) })
    conf = replace_one(conf, "redis://127.0.0.1:6379/0", server:url(0))
    conf = replace_one(conf, ';;";', (';%s/lua/?.lua;;";\n'
        .. 'lua_package_cpath "%s/build/?.so;;";'):format(run.root, run.root))
    local url = ("http://127.0.0.1:%d/"):format(ports[1])
    _M.start_nginx(folder, conf, url)
    return url, ("http://127.0.0.1:%d/"):format(ports[2]), folder
end

--- What a request is answered; arguments are curl's.
function _M.curl(...)
    return (run.run({ "curl", "-s", "-m", "30", ... }))
end

--- The status of that answer.
function _M.status(...)
    return _M.curl("-o", "/dev/null", "-w", "%{http_code}", ...)
end

return _M
