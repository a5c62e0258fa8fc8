--- Commands for the specs of this folder.
local _M = {}

--- The repository's root, an absolute path.
local pwd = assert(io.popen("pwd"))
_M.root = pwd:read("*l")
pwd:close()

_M.luajit = os.getenv("LUAJIT") or "luajit"

--- A word for the shell, whatever it holds.
function _M.quote(text)
    return "'" .. text:gsub("'", "'\\''") .. "'"
end

--- Runs a command; returns what it printed, errors included, and its exit status.  What it counts
-- is not among what the run that this is a part of has counted.
function _M.run(command, ...)
    if select("#", ...) > 0 then
        command = command:format(...)
    end
    local pipe = assert(io.popen("unset TANDEM_RESULTS TANDEM_FAILURES; { " .. command
                                 .. "\n} 2>&1; code=$?; echo; echo status $code"))
    local output = pipe:read("*a")
    pipe:close()
    local text, status = output:match("^(.*)\nstatus (%d+)\n$")
    return text, tonumber(status)
end

--- As run, and raises when the command fails.
function _M.must(command, ...)
    local output, status = _M.run(command, ...)
    if status ~= 0 then
        error(command .. " ended with status " .. tostring(status) .. ":\n" .. output, 2)
    end
    return output
end

--- Makes a folder of its own; give it to remove_folder.
function _M.make_folder()
    return (_M.must("mktemp -d"):gsub("%s+$", ""))
end

function _M.remove_folder(path)
    _M.must("rm -rf " .. _M.quote(path))
end

function _M.write_file(path, content)
    local file = assert(io.open(path, "wb"))
    assert(file:write(content))
    assert(file:close())
end

function _M.read_file(path)
    local file = assert(io.open(path, "rb"))
    local content = file:read("*a")
    file:close()
    return content
end

--- Runs Lua text in a LuaJIT of its own, from a folder, with nothing but these package paths.
function _M.lua(folder, lua_path, lua_cpath, text)
    local script = os.tmpname()
    _M.write_file(script, text)
    local output, status = _M.run("cd %s && env -u TANDEM_LIBRARY LUA_PATH=%s LUA_CPATH=%s %s %s",
        _M.quote(folder), _M.quote(lua_path), _M.quote(lua_cpath), _M.luajit, script)
    os.remove(script)
    return output, status
end

return _M
