--- An nginx.conf as documents and examples have it, run here.

local run = require "spec.support.run"

local _M = {}

--- Replaces what must be there exactly once.
function _M.replace_one(text, what, with)
    local from, to = text:find(what, 1, true)
    assert(from and not text:find(what, to + 1, true), what)
    return text:sub(1, from - 1) .. with .. text:sub(to + 1)
end

--- A configuration for OpenResty, with the modules that are loaded elsewhere.
function _M.with_modules(conf)
    return "load_module /usr/lib/nginx/modules/ndk_http_module.so;\n"
        .. "load_module /usr/lib/nginx/modules/ngx_http_lua_module.so;\n" .. conf
end

--- Starts nginx in a folder, with temporary files below it and, in OpenResty, without modules to be
-- loaded.  What it says goes to the file "output" there.
function _M.start(folder, conf)
    local paths = "http {\n"
    for _, kind in ipairs({ "client_body", "proxy", "fastcgi", "uwsgi", "scgi" }) do
        paths = paths .. ("    %s_temp_path %s;\n"):format(kind, kind)
    end
    conf = _M.replace_one(conf, "http {\n", paths)
    if (os.getenv("OPENRESTY") or "") ~= "" then
        conf = conf:gsub("load_module [^\n]*\n", "")
    end
    run.write_file(folder .. "/nginx.conf", conf)
    return run.start({
        run.need(run.nginx), "-p", folder, "-c", "nginx.conf", "-e", "error.log", "-g",
        "daemon off; pid nginx.pid; error_log error.log notice;",
    }, { output = folder .. "/output" })
end

return _M
