-- `ngx` exists only where nginx is meant to be known.
std = "luajit"
codes = true
max_line_length = 100
exclude_files = { "lua/resty/tandem/cdef.lua", "build" }

files["lua/resty/tandem/host/nginx.lua"].std = "ngx_lua"
files["spec"].std = "luajit+busted"
files["spec/soak/worker.lua"].std = "ngx_lua"
files["spec/nginx"].std = "ngx_lua+busted"
files["examples"].std = "ngx_lua"
files["examples/kong-plugin"].read_globals = { "kong" }
files["rockspec"].std = "rockspec"
