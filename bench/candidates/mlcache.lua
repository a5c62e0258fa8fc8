-- lua-resty-mlcache: level-1 hits of a cache whose level 2 is an ngx.shared.DICT.
local cache = ...

local _M = {}

function _M.get(keys, times)
    local n, found = #keys, 0
    for _ = 1, times do
        for i = 1, n do
            if cache:get(keys[i]) then
                found = found + 1
            end
        end
    end
    return found
end

function _M.set(keys, values, times)
    local n, done = #keys, 0
    for _ = 1, times do
        for i = 1, n do
            if cache:set(keys[i], nil, values[i]) then
                done = done + 1
            end
        end
    end
    return done
end

return _M
