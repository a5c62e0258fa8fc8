--- The shop: makes the page of a product, as a JSON document of some kilobytes.
--
-- It stands for what a database and templates do elsewhere: the whole of catalogue.tsv is gone
-- through for each document, to find the product and what goes well with it.  That is the work
-- that a cache saves.  make-data says what the columns are.

local json = require "cjson.safe".new()

local RELATED = 16 -- products that a document recommends

local _M = {}

local here = debug.getinfo(1, "S").source:match("^@(.*/)") or "./"

-- Read once, by whoever may: nginx's workers run as another user than its master.
local file = assert(io.open(here .. "catalogue.tsv"))
local text = file:read("*a")
file:close()

local function products()
    local next_line = text:gmatch("(%d+)\t(%l+)\t([^\t]*)\t(%d+)\t(%d+)\t(%d+)\t(%d+)\t([^\n]*)\n")
    return function()
        local id, category, name, price, stock, ratings, stars, description = next_line()
        if id then
            return { id = tonumber(id), category = category, name = name,
                     price = tonumber(price) / 100, stock = tonumber(stock),
                     ratings = tonumber(ratings), stars = tonumber(stars),
                     description = description }
        end
    end
end

local function words_shared(name, words)
    local shared = 0
    for word in name:lower():gmatch("%a+") do
        shared = shared + (words[word] and 1 or 0)
    end
    return shared
end

-- Of the same category, the nearest in name first, then the nearest in price.
local function related_to(product, all)
    local words, others = {}, {}
    for word in product.name:lower():gmatch("%a+") do
        words[word] = true
    end
    for _, other in ipairs(all) do
        if other.id ~= product.id and other.category == product.category then
            other.shared = words_shared(other.name, words)
            other.gap = math.abs(other.price - product.price)
            others[#others + 1] = other
        end
    end
    table.sort(others, function(a, b)
        if a.shared ~= b.shared then
            return a.shared > b.shared
        end
        return a.gap < b.gap or a.gap == b.gap and a.id < b.id
    end)

    local related = {}
    for i = 1, math.min(RELATED, #others) do
        local other = others[i]
        related[i] = { url = "/products/" .. other.id, name = other.name, price = other.price,
                       in_stock = other.stock > 0, description = other.description }
    end
    return related
end

--- Makes the document of a product.
-- @tparam string id its number
-- @treturn string JSON; nil when there is no such product
function _M.render(id)
    local number, product, all = tonumber(id), nil, {}
    for each in products() do
        all[#all + 1] = each
        if each.id == number then
            product = each
        end
    end
    if not product then
        return nil
    end
    return json.encode {
        id = product.id, url = "/products/" .. product.id, name = product.name,
        category = product.category, description = product.description,
        price = { amount = product.price, currency = "EUR" },
        stock = product.stock,
        rating = product.ratings > 0 and {
            count = product.ratings,
            average = math.floor(product.stars / product.ratings * 10 + 0.5) / 10,
        } or nil,
        related = related_to(product, all),
    }
end

return _M
