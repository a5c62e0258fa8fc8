--- How a command ends that cannot do what it was told: raises what main.lua says and exits with.

local function ending(status)
    return function(message)
        error({ exit = status, message = message }, 0)
    end
end

return {
    misused = ending(2),    -- the command line makes no sense
    not_opened = ending(3), -- the segment, or its Redis, cannot be opened
    failed = ending(4),
}
