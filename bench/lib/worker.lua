--- The nginx side of lib/nginx.lua: runs the job in each worker, and ends nginx when all are done.

local json = require "cjson"

local _M = {}

local folder, todo

local function read_file(path)
    local file = assert(io.open(path, "rb"))
    local text = file:read("*a")
    file:close()
    return text
end

--- In init_by_lua: reads what is to be done, and lets the job make what workers inherit.
function _M.init(where)
    folder = where
    todo = json.decode(read_file(where .. "/args.json"))
    local job = require("jobs." .. todo.job)
    _M.run = type(job) == "table" and job.run or job
    if type(job) == "table" and job.init then
        job.init(todo.args)
    end
end

local function answer(table)
    local file = assert(io.open(folder .. "/answer.json.new", "wb"))
    file:write(json.encode(table))
    file:close()
    os.rename(folder .. "/answer.json.new", folder .. "/answer.json")
end

local function stop()
    local ffi = require "ffi"
    pcall(ffi.cdef, "int kill(int pid, int signal); int getpid(void); int getppid(void);")
    ffi.C.kill(todo.workers == 1 and ffi.C.getpid() or ffi.C.getppid(), 15)
end

local function work(premature)
    if premature then
        return
    end
    local ok, result = xpcall(_M.run, debug.traceback, todo.args)
    if not ok then
        answer { problem = tostring(result) }
        return stop()
    end
    if (ngx.worker.id() or 0) == 0 then
        answer { answer = result }
        stop()
    end
end

function _M.start()
    assert(ngx.timer.at(0, work))
end

return _M
