--- Runs Lua text, of a document, and has what it prints.

--- @param name what errors call it
-- @return the lines, their words two blanks apart; and the globals that it has set
return function(text, name)
    local lines = {}
    local globals = setmetatable({
        print = function(...)
            local words = {}
            for i = 1, select("#", ...) do
                words[i] = tostring((select(i, ...)))
            end
            lines[#lines + 1] = table.concat(words, "  ")
        end,
    }, { __index = _G })
    setfenv(assert(loadstring(text, "=" .. name)), globals)()
    return lines, globals
end
