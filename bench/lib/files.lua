--- Files, whole.

local _M = {}

--- The bytes of a file; nil when there is none.
function _M.read(path)
    local file = io.open(path, "rb")
    if not file then
        return nil
    end
    local text = file:read("*a")
    file:close()
    return text
end

-- What came of writing: buffered bytes meet a full disk when they are flushed only.
local function put(path, text)
    local file, err = io.open(path, "wb")
    if not file then
        return nil, err
    end
    local ok
    ok, err = file:write(text)
    if ok then
        ok, err = file:flush()
    end
    file:close()
    return ok, err
end

--- Makes a file, or makes a new one of it: when that fails (a full disk) the old one stays, and the
-- reason is raised.
function _M.write(path, text)
    local ok, err = put(path .. ".new", text)
    if not ok then
        os.remove(path .. ".new")
        error(("%s cannot be written: %s"):format(path, err), 0)
    end
    assert(os.rename(path .. ".new", path))
end

return _M
