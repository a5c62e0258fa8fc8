-- The status page: what the location answers, and the page itself in a real browser.

local browsers = require "spec.support.browser"
local cjson = require "cjson"
local run = require "spec.support.run"
local shops = require "spec.support.shop"

local HOSTILE = [[
    for _, key in ipairs { "<script>document.title='owned'</script>",
                           "<img src=x onerror=alert(1)>", "\0\1\27[31m\255\254",
                           "\226\128\174reversed", "</tbody>&amp;" } do
        assert(switches:set(key, ("x"):rep(3000)))
    end
]]

describe("the status page", function()
    local shop, browser

    setup(function()
        shop, browser = shops.start(), browsers.start()
        shop:work(20)
        shop.nginx:eval(HOSTILE)
        browser:resize(1280, 900)
        browser:open(shop.url)
        browser:wait_until("there are steps", [[
            return document.querySelectorAll("path.fill-none[d]").length > 0]])
    end)
    teardown(function()
        if browser then
            browser:stop()
        end
        run.cleanup()
    end)

    local function get(arguments, options)
        return require("spec.support.http").request({ port = shop.port },
                                                    "/tandem" .. arguments, options)
    end

    it("answers GET and HEAD, and nothing else", function()
        for _, method in ipairs({ "POST", "PUT", "DELETE", "PATCH", "OPTIONS" }) do
            local answer = get("", { method = method })
            assert.equal(405, answer.status)
            assert.equal("GET, HEAD", answer.headers.allow)
        end
        assert.equal(200, get("").status)
        local answer = get("?format=json")
        assert.equal("application/json", answer.headers["content-type"])
        assert.equal("no-store", answer.headers["cache-control"])
        assert.equal("nosniff", answer.headers["x-content-type-options"])
        local caches = cjson.decode(answer.body).caches
        assert.equal("shop", caches[1].name)
        assert.equal("switches", caches[2].name)
        assert.equal("up", caches[1].stats.redis.state)
        assert.is_true(caches[1].loaders[1].slowest_seconds > 0)
        answer = get("", { headers = { Accept = "application/json" } })
        assert.equal("application/json", answer.headers["content-type"])
    end)

    it("allows itself its own script and nothing from elsewhere", function()
        local one, two = get(""), get("")
        local policy = one.headers["content-security-policy"]
        local nonce = policy:match("script%-src 'nonce%-([%w+/=]+)'")
        assert.is_truthy(one.body:find('<script nonce="' .. nonce .. '">', 1, true))
        assert.is_truthy(policy:find("default-src 'none'", 1, true))
        assert.are_not.equal(policy, two.headers["content-security-policy"])
        assert.is_nil(one.body:find("https?://[^w]"))
    end)

    it("has numbers that change while traffic runs", function()
        local function entries()
            return browser:run([[return document.querySelector(
                "section:first-of-type dl.facts div:nth-child(4) dd").textContent]])
        end
        local before = entries()
        run.wait_until("the number of entries changes", function()
            shop:work(50)
            return entries() ~= before
        end, 40)
        browser:wait_until("prefixes and loaders are there", [[
            const text = document.querySelector("section:first-of-type .tables").textContent;
            return text.includes("product:") && text.includes("session:")]])
    end)

    it("shows hostile keys as text", function()
        browser:wait_until("the keys are there", [[
            const text = document.querySelector("main").textContent;
            return text.includes("<script>") && text.includes("\\x00\\x01\\x1b")]])
        assert.equal(0, browser:run("return document.querySelectorAll('main script, img').length"))
        assert.is_truthy(browser:run("return document.title"):find("^tandem"))
    end)

    it("fits phones, tablets and desktops, light and dark", function()
        local papers = {}
        for _, width in ipairs({ 320, 390, 820, 1280 }) do
            browser:resize(width, 800)
            for _, scheme in ipairs({ "light", "dark" }) do
                browser:prefer(scheme)
                papers[scheme] = browser:run(
                    "return getComputedStyle(document.documentElement).backgroundColor")
                assert.is_true(browser:run("return document.documentElement.scrollWidth")
                               <= width, "too wide at " .. width)
            end
        end
        assert.are_not.equal(papers.light, papers.dark)
        browser:resize(1280, 900)
    end)

    it("can be used by keyboard, and says what charts show", function()
        local seen = {}
        for _ = 1, 12 do
            browser:press(browser.TAB)
            seen[browser:run([[const e = document.activeElement;
                return e.id || e.tagName + " " + e.textContent.trim()]])] = true
        end
        assert.is_true(seen.pause)
        assert.is_true(seen["SUMMARY Every counter"])
        assert.equal(0, browser:run([[return [...document.querySelectorAll("figure svg")].filter(
            (e) => e.getAttribute("role") !== "img" || !e.getAttribute("aria-label")).length]]))
        assert.equal(1, browser:run("return document.querySelectorAll('main').length"))
    end)

    -- The number of loads in the first row of the table of loaders, and whose they are.
    local function loads()
        local said = browser:run([[
            const table = [...document.querySelectorAll("section:first-of-type table")].find(
                (e) => e.caption.textContent.startsWith("Slowest loaders"));
            return table.caption.textContent + " " + (table.rows[1].cells[1] || { textContent: 0 })
                .textContent]])
        return tonumber((said:match("(%S+)$"):gsub(",", ""))), said
    end

    it("adds up what several workers say of their loaders", function()
        local before = loads()
        assert.is_true(before > 0)
        shop.nginx:reload()
        run.wait_until("the new worker has been heard, too", function()
            shop:work(5)
            local sum, said = loads()
            return said:find("2 workers that have answered", 1, true) and sum > before
        end, 40)
    end)

    it("asks for nothing while its tab is hidden", function()
        browser:run([[window.seen = []; window.real = window.fetch;
            document.addEventListener("visibilitychange",
                () => seen.push(document.visibilityState));
            window.fetch = (...all) => { seen.push("asks"); return real(...all); };]])
        local close = browser:open_tab()
        run.nap(4500) -- that is what is tested: in this time it would have asked twice
        close()
        browser:wait_until("it asks again", "return seen.includes('visible', 1)"
            .. " && seen.lastIndexOf('asks') > seen.indexOf('visible')")
        local seen = browser:run("window.fetch = window.real; return seen")
        while seen[1] == "asks" do
            table.remove(seen, 1) -- before it was hidden
        end
        assert.same({ "hidden", "visible", "asks" }, { seen[1], seen[2], seen[3] })
    end)

    it("begins anew with an nginx that does", function()
        browser:run("document.querySelectorAll('details').forEach((e) => { e.open = true; })")
        local function sets()
            return browser:wait_until("there are counters", [[
                const row = [...document.querySelectorAll("details tr")].find(
                    (e) => e.textContent.startsWith("memory.sets"));
                return row && Number(row.cells[1].textContent.replace(/,/g, "")) + 1]])
        end
        local before = sets()
        -- What only grows must not be shown to have gone back.
        browser:run([[window.wrong = []; window.watch = setInterval(() => {
            for (const row of document.querySelectorAll("details tr")) {
                const text = row.textContent;
                if (/NaN|Infinity|undefined/.test(text)
                    || /^(memory.sets|redis.commands|fetch.loads)[0-9,]+−/.test(text)) {
                    wrong.push(text);
                }
            }
        }, 50);]])
        shop:restart()
        run.wait_until("the page is of the new one", function()
            return sets() < before
        end, 40)
        assert.is_truthy(select(2, loads()):find("of the worker that answers", 1, true))
        shop:work(3)
        browser:wait_until("there are steps of it", [[
            return document.querySelector("section:first-of-type dd").textContent.includes("%")]])
        assert.same({}, browser:run("clearInterval(watch); return wrong"))
        browser:console() -- takes that it could not be reached meanwhile
    end)

    it("says what is wrong with a cluster's URL", function()
        browser:run([[window.real = window.fetch;
            window.fetch = async (...all) => {
                const data = await (await real(...all)).json();
                data.caches[0].stats.redis.trouble = "<b>two clusters</b>";
                return new Response(JSON.stringify(data));
            };]])
        browser:wait_until("the page says so", [[
            return (document.querySelector(".state .trouble") || {}).textContent
                === "<b>two clusters</b>"]])
        browser:run("window.fetch = window.real")
    end)

    it("says that Redis is down, that nobody answers, and recovers", function()
        assert.same({}, browser:console())
        shop.redis:kill()
        run.wait_until("the page says so", function()
            shop.nginx:eval("shop:get('asked ' .. ngx.now())")
            return browser:run("return document.querySelector('main').textContent")
                :find("breaker open", 1, true)
        end, 40)
        browser:run([[window.real = window.fetch;
            window.fetch = () => Promise.reject(new Error("cut off"));]])
        browser:wait_until("the page says so",
            "return document.getElementById('status').textContent.includes('cut off')")
        browser:run("window.fetch = window.real")
        browser:wait_until("it has recovered",
            "return document.getElementById('status').textContent === 'live'")
        assert.same({}, browser:console())
    end)
end)
