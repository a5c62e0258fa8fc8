--- What a worker of nginx does in the soak: reads and writes keys without end in a timer, and
-- checks that nothing it reads is wrong (spec.support.stressing).

local ffi = require "ffi"
local ledger = require "spec.support.ledger"
local stressing = require "spec.support.stressing"

ffi.cdef "int flock(int fd, int operation);"

local O_RDWR, O_CREAT, LOCK_EX_NB = 2, 64, 6
local ROUNDS = 100 -- in one timer: a coroutine that never ended would gather what nginx gives it

local _M = {}

local function wrong(...)
    local words = { "WRONG", ... }
    for i, word in ipairs(words) do
        words[i] = tostring(word)
    end
    ngx.log(ngx.ERR, table.concat(words, " "))
end

-- A worker that is shutting down and the one in its place have the same number: one at a time.
local function become_only(path)
    local fd = ffi.C.open(path, O_RDWR + O_CREAT, ffi.cast("int", 384))
    while ffi.C.flock(fd, LOCK_EX_NB) ~= 0 do
        if ngx.worker.exiting() then
            return false
        end
        ngx.sleep(0.02)
    end
    return true
end

--- In init_worker.  given: cache, ledger (its path), max_stale, on_redis_error, host (from 0),
-- workers (of each host), writers (of all), folder.
function _M.start(given)
    local number = given.host * given.workers + ngx.worker.id()
    local book = ledger.open(given.ledger)
    local one = stressing.new(book, given.cache, {
        number = number, writers = given.writers, first = given.host * given.workers,
        last = given.host * given.workers + given.workers - 1, max_stale = given.max_stale,
        on_redis_error = given.on_redis_error, wrong = wrong,
    })
    math.randomseed(number * 7919 + ngx.worker.pid())

    local function work(premature)
        for _ = 1, ROUNDS do
            if premature or ngx.worker.exiting() then
                return
            elseif ngx.shared.soak:get("paused") then
                book:count(number, stressing.READS)
                ngx.sleep(0.05)
            else
                one:round(book:settled(number))
                ngx.sleep(math.random(1, 4) / 1000)
            end
        end
        ngx.timer.at(0, work)
    end

    ngx.timer.at(0, function()
        if become_only(given.folder .. "/worker" .. number) then
            work()
        end
    end)
end

--- What this host has of every key, and what it answers: a line for each.
function _M.look(cache)
    local lines = {}
    for key = 0, ledger.KEYS - 1 do
        local _, _, has = cache:peek(tostring(key))
        local value, err = cache:get(tostring(key))
        lines[key + 1] = (has or "-") .. "\t" .. (value or err and "error" or "-")
    end
    return table.concat(lines, "\n")
end

return _M
