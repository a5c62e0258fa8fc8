--- What a key begins with, as people group keys: up to and with the first of  : / | .  that is not
-- its first byte.  "user:1:name" is below "user:", "/api/list" below "/api/"; a key without one is
-- its own.

local find = string.find
local sub = string.sub

return function(key)
    return sub(key, 1, find(key, "[:/|.]", 2) or -1)
end
