--- The nginx side of lib/nginx.lua: runs the job in each worker, and ends nginx when all are done.

local json = require "cjson"

local files = require "lib.files"

local _M = {}

local folder, todo

--- In init_by_lua: reads what is to be done, and lets the job make what workers inherit.
function _M.init(where)
    folder = where
    todo = json.decode(files.read(where .. "/args.json"))
    local job = require("jobs." .. todo.job)
    _M.run = type(job) == "table" and job.run or job
    if type(job) == "table" and job.init then
        job.init(todo.args)
    end
end

local function answer(table)
    files.write(folder .. "/answer.json", json.encode(table))
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
