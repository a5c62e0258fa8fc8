-- The command line tool's parts that need no cache.

local help = require "resty.tandem.tool.help"
local json = require "resty.tandem.tool.json"
local run = require "spec.support.run"
local show = require "resty.tandem.tool.show"

describe("what the tool shows", function()
    it("is one line that stands for these bytes alone", function()
        local all = {}
        for i = 0, 255 do
            all[i + 1] = string.char(i)
        end
        for _, bytes in ipairs { "", "plain", table.concat(all), "\\n\n", "snow \226\152\131",
                                 "\226\128\174right to left", "\237\160\128", "\192\175" } do
            local text = show.text(bytes)
            assert.falsy(text:find("[%z\1-\31\127]"), text)
            assert.is_true(show.is_utf8(text))
            assert.are.equal(bytes, (show.bytes(text)))
        end
        assert.are.equal("snow \226\152\131", show.text("snow \226\152\131"))
        assert.are.equal("abcdefg...", show.text("abcdefghijkl", 10))
        assert.is_nil((show.bytes("\\x4")))
    end)

    it("has units", function()
        assert.are.equal("1 234 567", show.count(1234567))
        assert.are.equal("0", show.count(0))
        assert.are.equal("1.5 KiB", show.size(1536))
        assert.are.equal("-", show.percent(0, 0))
        assert.are.equal("2 min 5 s", show.duration(125))
        assert.are.equal("999 ms", show.duration(0.9994))
        assert.are.equal("1 s", show.duration(0.9997))
        assert.are.equal("1 ms", show.duration(0.0009997))
        assert.are.equal("1.0 KiB", show.size(1023.9))
        assert.are.equal("1.0 GiB", show.size(2 ^ 30 - 1))
    end)

    it("says of a quantile that is beyond all bounds just that", function()
        local h = { buckets = { { le = 1 }, { le = 50 }, {} }, p50 = 0.25 }
        assert.are.equal("250 ms", show.quantile(h, "p50"))
        assert.are.equal("> 50 s", show.quantile(h, "p99"))
    end)

    it("is JSON that a parser reads, whatever the bytes", function()
        local cjson = require "cjson"
        local text = json.encode({ list = { 1, 0.1, 1e300 }, text = '"\n\27</script>\226\128\168',
                                   nothing = json.null, empty = { is_array = true },
                                   yes = true, big = 2 ^ 53, bad = 0 / 0 })
        assert.falsy(text:find("[\n\27<]"), text)
        local value = cjson.decode(text)
        assert.are.same({ 1, 0.1, 1e300 }, value.list)
        assert.are.equal('"\n\27</script>\226\128\168', value.text)
        assert.are.equal(cjson.null, value.bad)
        assert.are.equal(2 ^ 53, value.big)
        local object = json.put_bytes({}, "key", "\255\0")
        assert.are.equal("/wA=", object.key_base64)
    end)
end)

describe("the tool's manual, completion and README", function()
    it("name every command and option", function()
        local manual = run.read_file(run.root .. "/docs/tandem.1"):gsub("\\%-", "-")
        local completion = run.read_file(run.root .. "/tools/tandem.bash-completion")
        local readme = run.read_file(run.root .. "/README.md")
        local commands, options = help.names()
        for _, name in ipairs(commands) do
            assert.truthy(manual:find("\n.BI? " .. name) or manual:find("\n.B " .. name, 1, true)
                          or manual:find("\n.BI " .. name, 1, true), name)
            assert.truthy(completion:find("[ \"]" .. name .. "[ \"]"), name)
            assert.truthy(readme:find("tandem " .. name, 1, true), name)
        end
        for _, name in ipairs(options) do
            assert.truthy(manual:find(name, 1, true), name)
            assert.truthy(completion:find(name, 1, true), name)
        end
    end)

    it("complete in bash", function()
        local function complete(...)
            local script = "source " .. run.root .. "/tools/tandem.bash-completion; "
                .. "COMP_WORDS=(tandem \"$@\"); COMP_CWORD=$#; _tandem; echo \"${COMPREPLY[*]}\""
            return (run.run({ "bash", "-c", script, "-", ... }))
        end
        assert.are.equal("verify\n", complete("ve"))
        assert.are.equal("--runtime-dir\n", complete("keys", "pages", "--ru"))
    end)

    it("are what --help says, too", function()
        local commands = help.names()
        for _, name in ipairs(commands) do
            local text = help.text(name)
            assert.truthy(text:find("usage: tandem " .. name, 1, true), text)
        end
        assert.truthy(help.text():find("Exit status", 1, true))
    end)
end)
