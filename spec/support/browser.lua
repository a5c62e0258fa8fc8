--- A real Chromium without a screen, told what to do through chromedriver by WebDriver's protocol.

local cjson = require "cjson"
local http = require "spec.support.http"
local redis = require "spec.support.redis"
local resp = require "spec.support.resp"
local run = require "spec.support.run"
local unistd = require "posix.unistd"

local _M = {}
local Browser = {}
Browser.__index = Browser

local ELEMENT = "element-6066-11e4-a52e-4f735466cecf" -- how the protocol names elements
local SECONDS = 60 -- for one command, on a machine that stalls

local function call(self, method, path, body)
    local text = method == "POST" and (next(body or {}) and cjson.encode(body) or "{}") or nil
    local answer = http.request({ port = self.port }, path, {
        method = method, body = text, seconds = SECONDS, until_whole = true,
        headers = { ["Content-Type"] = "application/json" },
    })
    assert(answer.status, answer.err)
    local value = cjson.decode(answer.body).value
    if answer.status ~= 200 then
        error(("%s %s: %s: %s"):format(method, path, value.error, value.message), 3)
    end
    return value
end

local function command(self, method, path, body)
    return call(self, method, "/session/" .. self.session .. path, body)
end

local function answers(self)
    return run.wait_until("chromedriver answers", function()
        if not self.process:alive() then
            return "ended"
        end
        local fd = resp.connect_socket({ port = self.port })
        return fd and unistd.close(fd) and "yes"
    end, 30) == "yes"
end

--- Starts one.
function _M.start()
    local driver, chromium = run.need("chromedriver"), run.need("chromium")
    local self = setmetatable({ folder = run.temp_dir() }, Browser)
    for _ = 1, 5 do
        self.port = redis.free_port()
        self.process = run.start({ driver, "--port=" .. self.port },
                                 { output = self.folder .. "/output",
                                   env = { HOME = self.folder, TMPDIR = self.folder } })
        if answers(self) then
            break
        end
        self.process:destroy()
    end
    -- Root has no sandbox; and nothing here may ask anything outside this machine.
    local capabilities = { alwaysMatch = {
        browserName = "chrome", ["goog:loggingPrefs"] = { browser = "ALL" },
        ["goog:chromeOptions"] = { binary = chromium, args = {
            "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            "--disable-dev-shm-usage", "--no-proxy-server", "--hide-scrollbars", "--lang=en",
            "--user-data-dir=" .. self.folder .. "/profile",
        } },
    } }
    self.session = call(self, "POST", "/session", { capabilities = capabilities }).sessionId
    return self
end

function Browser:open(url)
    command(self, "POST", "/url", { url = url })
end

--- Runs JavaScript in the page, the body of a function.
-- @return what that returned, decoded: null is cjson.null
function Browser:run(script)
    return command(self, "POST", "/execute/sync", { script = script, args = { "" } })
end

--- A command of Chrome's own protocol.
function Browser:chrome(name, params)
    return command(self, "POST", "/goog/cdp/execute", { cmd = name, params = params })
end

--- Has the page that wide and high, in CSS pixels, with so many of the screen's for each.
function Browser:resize(width, height, scale)
    self:chrome("Emulation.setDeviceMetricsOverride", {
        width = width, height = height, deviceScaleFactor = scale or 1, mobile = width < 600,
    })
end

--- "light" or "dark", as the user of the machine would have set it.
function Browser:prefer(scheme)
    self:chrome("Emulation.setEmulatedMedia", {
        features = { { name = "prefers-color-scheme", value = scheme } },
    })
end

--- Presses keys; Tab is "\u{E004}" of the protocol.
function Browser:press(keys)
    local element = command(self, "GET", "/element/active")[ELEMENT]
    command(self, "POST", "/element/" .. element .. "/value", { text = keys })
end
Browser.TAB, Browser.ENTER = "\238\128\132", "\238\128\135"

--- What the console has got since the last call: an array of { level=, message= }.
function Browser:console()
    return command(self, "POST", "/se/log", { type = "browser" })
end

--- Opens a tab, which hides the one that there was.  Returns a function that closes it again.
function Browser:open_tab()
    local first = command(self, "GET", "/window")
    local tab = command(self, "POST", "/window/new", { type = "tab" }).handle
    return function()
        command(self, "POST", "/window", { handle = tab })
        command(self, "DELETE", "/window")
        command(self, "POST", "/window", { handle = first })
    end
end

--- A picture of the page as it is seen, PNG in base64.
function Browser:picture()
    return command(self, "GET", "/screenshot")
end

--- Waits until a script returns something true, and returns that.
function Browser:wait_until(what, script, seconds)
    return run.wait_until(what, function()
        local value = self:run(script)
        return value ~= cjson.null and value or nil
    end, seconds or 40)
end

function Browser:stop()
    pcall(command, self, "DELETE", "")
    self.process:destroy()
end

return _M
