-- No cache: the database answers everything.

return function(database)
    return {
        read = database.read,
        write = function() return true end,
    }
end
