-- ngx.shared.DICT.
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
            if cache:set(keys[i], values[i]) then
                done = done + 1
            end
        end
    end
    return done
end

function _M.incr(keys, times)
    local n, done = #keys, 0
    for _ = 1, times do
        for i = 1, n do
            if cache:incr(keys[i], 1, 0, 60) then
                done = done + 1
            end
        end
    end
    return done
end

function _M.delete(keys)
    local done = 0
    for i = 1, #keys do
        if cache:delete(keys[i]) then
            done = done + 1
        end
    end
    return done
end

-- picks: numbers of keys, negative ones to be set.
function _M.mixed(keys, values, picks)
    local found = 0
    for i = 1, #picks do
        local pick = picks[i]
        if pick < 0 then
            cache:set(keys[-pick], values[-pick])
        elseif cache:get(keys[pick]) then
            found = found + 1
        end
    end
    return found
end

return _M
