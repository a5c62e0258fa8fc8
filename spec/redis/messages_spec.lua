--- What a tracking link may be told by a server that means no good, or is none.  Whatever it is,
-- what it may have meant is dropped; what makes no sense ends the link; and nothing is lost by it.

local caches = require "spec.support.caches"
local peer = require "spec.support.peer"
local run = require "spec.support.run"

-- Answers every GET with "value".  Its links prove themselves, and then say what is in files
-- "say-1", "say-2", … as these come.
local SERVER = [[
    local folder, prefix = %q, %q
    local poll = require "posix.poll"
    local function bulk(text)
        return "$" .. #text .. "\r\n" .. text .. "\r\n"
    end
    local subscribed, said = 0, nil
    while true do
        if subscribed >= 2 and poll.rpoll(c.fd, 5) == 0 then
            local next_one = (said or 0) + 1
            local file = io.open(folder .. "/say-" .. next_one, "rb")
            if file then
                c:write(file:read("*a"))
                file:close()
                said = next_one
            end
        else
            local words = c:command()
            if not words then
                return
            end
            local first, second = words[1]:upper(), words[2] and words[2]:upper()
            if first == "CLIENT" and second == "ID" then
                c:write(":7\r\n")
            elseif first == "CLIENT" and second == "TRACKINGINFO" then
                c:write("-ERR unknown subcommand\r\n")
            elseif first == "SUBSCRIBE" then
                c:write("*3\r\n" .. bulk("subscribe") .. bulk(words[2]) .. ":1\r\n")
                subscribed = subscribed + 1
                if subscribed == 2 then
                    c:write("*3\r\n" .. bulk("message") .. bulk("__redis__:invalidate") .. "*1\r\n"
                            .. bulk(prefix .. "#tandem:canary"))
                    -- A later link does not say again what an earlier one has said.
                    said = 0
                    while io.open(folder .. "/say-" .. said + 1) do
                        said = said + 1
                    end
                end
            elseif first == "GET" then
                c:write("$5\r\nvalue\r\n")
            elseif first == "PTTL" then
                c:write(":-1\r\n")
            else
                c:write(greet(words) or empty(words) or ":0\r\n")
            end
        end
    end
]]

local function bulk(text)
    return "$" .. #text .. "\r\n" .. text .. "\r\n"
end

local function message(payload, channel, kind)
    return "*3\r\n" .. bulk(kind or "message") .. bulk(channel or "__redis__:invalidate") .. payload
end

local function keys(list)
    for i, key in ipairs(list) do
        list[i] = bulk("p:" .. key)
    end
    return "*" .. #list .. "\r\n" .. table.concat(list)
end

local function many()
    local list = {}
    for i = 1, 50000 do
        list[i] = "many" .. i
    end
    list[25000] = "key"
    return keys(list)
end

-- What it does to "key", which is in memory, and to "other": kept, dropped, or stale as everything
-- is; and whether the link goes on.
local CASES = {
    { "an empty array", message("*0\r\n"), "kept", "kept" },
    { "a key", message(keys({ "key" })), "dropped", "kept" },
    { "a key in the cache's own channel", message(bulk("key"), "p:#tandem:changed"), "dropped",
      "kept" },
    { "50 000 keys", message(many()), "dropped", "kept" },
    { "keys that are not ours", message("*3\r\n" .. bulk("key") .. bulk("q:key") .. bulk("")),
      "kept", "kept" },
    { "the bare prefix", message("*1\r\n" .. bulk("p:")), "kept", "kept" },
    { "a key that is too long", message(keys({ ("x"):rep(100000) })), "kept", "kept" },
    { "keys that are reserved", message(keys({ "#tandem:", "#tandem:lock" })), "kept", "kept" },
    { "binary keys", message(keys({ "\0", "key\0", "\255\r\n" })), "kept", "kept" },
    { "nil", message("$-1\r\n"), "stale", "stale" },
    { "a nil array", message("*-1\r\n"), "stale", "stale" },
    { "a key that is nil", message("*2\r\n$-1\r\n" .. bulk("p:key")), "dropped", "stale" },
    { "a key that is a number", message("*1\r\n:17\r\n"), "stale", "stale" },
    { "a nested array", message("*1\r\n" .. keys({ "key" })), "stale", "stale" },
    { "a number", message(":1\r\n"), "stale", "stale" },
    { "text where keys should be", message(bulk("p:key")), "stale", "stale" },
    { "nil in the cache's own channel", message("$-1\r\n", "p:#tandem:changed"), "kept", "kept" },
    { "a channel that was not asked for", message(keys({ "key" }), "another"), "stale", "stale",
      "lost" },
    { "another kind of message", message(keys({ "key" }), nil, "pmessage"), "stale", "stale",
      "lost" },
    { "an array that is too short", "*2\r\n" .. bulk("message") .. bulk("p:key"), "stale", "stale",
      "lost" },
    { "an array of nothing", "*0\r\n", "stale", "stale", "lost" },
    { "a number for a message", ":17\r\n", "stale", "stale", "lost" },
    { "a status", "+OK\r\n", "stale", "stale", "lost" },
    { "an error", "-ERR something\r\n", "stale", "stale", "lost" },
    { "what is no protocol", "HTTP/1.1 200 OK\r\n\r\n", "stale", "stale", "lost" },
    { "a length that is too large", message("$99999999999999\r\n"), "stale", "stale", "lost" },
    { "a length below zero", message("*-7\r\n"), "stale", "stale", "lost" },
}

describe("a tracking link that is told", function()
    local server, folder, cache, said

    setup(function()
        folder = run.temp_dir()
        server = peer.start(SERVER:format(folder, "p:"))
        cache = caches.open({ redis = server:url(), prefix = "p:", max_stale = 4, timeout = 3 })
        said = 0
    end)

    teardown(run.cleanup)

    local function say(bytes)
        said = said + 1
        run.write_file(folder .. "/new", bytes)
        assert(os.rename(folder .. "/new", folder .. "/say-" .. said))
    end

    local function tracking()
        return cache:stats().tracking
    end

    local function link_up()
        run.wait_until("there is a link", function()
            cache:get("anything")
            return tracking().covering == 1 and tracking().state == "on"
        end, 40)
    end

    local function cached(key)
        run.wait_until(key .. " is in memory", function()
            assert.are.equal("value", cache:get(key))
            return (cache:peek(key))
        end)
    end

    local function look(key)
        if cache:peek(key) then
            return "kept"
        end
        return cache:peek(key, { stale = true }) and "stale" or "dropped"
    end

    for _, case in ipairs(CASES) do
        local what, bytes, key, other, link = unpack(case)
        it(what, function()
            link_up()
            cached("key")
            cached("other")
            local before = tracking()
            say(bytes)
            -- Then a key of no importance, so that it is known to have been heard.
            if link == "lost" then
                run.wait_until("the link is lost, and there is another", function()
                    return tracking().losses > before.losses and tracking().gaps > before.gaps
                end, 40)
            else
                say(message(keys({ "marker" })))
                run.wait_until("all has been heard", function()
                    return tracking().invalidations > before.invalidations
                        + (what == "50 000 keys" and 50000 or key == "dropped" and 1 or 0)
                        + (what == "binary keys" and 3 or 0)
                end)
                assert.are.equal(before.losses, tracking().losses)
            end
            assert.are.same({ key, other }, { look("key"), look("other") })
            assert.are.equal("value", cache:get("key"))
        end)
    end
end)
