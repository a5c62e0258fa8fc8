--- A process that reads and writes keys without end, and checks that nothing it reads is too old.
--
--   luajit stress.lua LEDGER NUMBER WRITERS OPTIONS [FIRST LAST]
--
-- OPTIONS is a Lua table as text: of tandem.new, to be a worker of a host, whose processes have the
-- numbers FIRST to LAST; or { port =, prefix = } to be another program that writes to Redis, with
-- cluster = true to a cluster.  Exits with 1, having said so, at the first value that is wrong.

local ledger = require "spec.support.ledger"
local poll = require "posix.poll"
local redirected = require "spec.support.redirected"
local resp = require "spec.support.resp"
local signal = require "posix.signal"
local stressing = require "spec.support.stressing"

local number, writers = tonumber(arg[2]), tonumber(arg[3])
local options = assert(loadstring("return " .. arg[4]))()
local book, wrong = ledger.open(arg[1]), ledger.wrong

local now_ms = require("resty.tandem.lib").C.tandem_now_ms
local SETTLES_MS = 500 -- what a process that was killed had sent is with Redis after so long

math.randomseed(number * 7919 + now_ms() % 1e6)

-- -- Another program -----------------------------------------------------------------------------

local function foreign()
    signal.signal(signal.SIGPIPE, signal.SIG_IGN) -- its connection may be killed
    local client
    while true do
        client = client or resp.connect({ port = options.port })
        local sent = {}
        for i = 1, math.random(20) do
            local key = stressing.own_key(number, writers)
            local version, deletes = book:begin(key)
            local name = options.prefix .. key
            sent[i] = { key = key, version = version,
                        command = deletes and resp.command("DEL", name)
                            or resp.command("SET", name, stressing.make(key, version)) }
        end
        local ok = client and pcall(function()
            for _, one in ipairs(sent) do
                client:write(one.command)
            end
            for _, one in ipairs(sent) do
                local answer = client:read(30)
                if type(answer) == "table" and not answer.err:find("^LOADING") then
                    wrong("Redis said", answer.err)
                end
                assert(answer ~= nil and type(answer) ~= "table")
                book:acknowledge(one.key, one.version)
                book:count(number, stressing.WRITES)
            end
        end)
        if not ok and client then
            client:close()
            client = nil
        end
        book:count(number, stressing.READS)
        poll.poll({}, math.random(0, 8))
    end
end

local function foreign_to_cluster()
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    local client = redirected.new(options.port)
    while true do
        local key = stressing.own_key(number, writers)
        local version, deletes = book:begin(key)
        local words = deletes and { "DEL", options.prefix .. key }
            or { "SET", options.prefix .. key, stressing.make(key, version) }
        if pcall(client.call, client, unpack(words)) then
            book:acknowledge(key, version)
            book:count(number, stressing.WRITES)
        end
        book:count(number, stressing.READS)
        poll.poll({}, math.random(0, 8))
    end
end

if options.cluster then
    foreign_to_cluster()
elseif options.port then
    foreign()
end

-- -- A worker of a host --------------------------------------------------------------------------

local began_ms = now_ms()
local lags = options.lags
options.lags = nil
local one = stressing.new(book, assert(require("resty.tandem").new("stress", options)), {
    number = number, writers = writers, first = tonumber(arg[5]), last = tonumber(arg[6]),
    max_stale = options.max_stale, on_redis_error = options.on_redis_error, wrong = wrong,
    lags = lags,
})

while true do
    one:round(now_ms() - began_ms > SETTLES_MS)
    poll.poll({}, math.random(1, 4))
end
