--- The largest of a list by one of its fields, and of equal ones by another; the rest is cut off.

local sort = table.sort

return function(list, by, name, limit)
    sort(list, function(a, b)
        return a[by] > b[by] or a[by] == b[by] and a[name] < b[name]
    end)
    for i = #list, limit + 1, -1 do
        list[i] = nil
    end
    return list
end
