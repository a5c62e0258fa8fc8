--- What ngx.shared.DICT, lua-resty-lrucache and lua-resty-mlcache document of their behaviour, as
-- small programs.
--
-- Each is { what it is about, the program, what theirs answers }; and where ours does otherwise,
-- what ours answers, and the words in docs/migrating.md that say so.  c is the cache, which every
-- program finds empty; what each of them calls by another name is called clear, keys, cleanup,
-- count, set, fetch and many.

local _M = {}

_M.dict = {
    { "a key that is not there", "return (c:get('none'))", "nil" },
    { "what was set", "return (c:set('k', 'v')), (c:get('k'))", "true 'v'" },
    { "the last of two values", "c:set('k', 'v') c:set('k', 'w') return (c:get('k'))", "'w'" },
    { "any bytes", "c:set('a\\0b', '\\0\\255') return (c:get('a\\0b')), (c:get('a'))",
      "'\\x00\\xff' nil" },
    { "an empty value", "c:set('k', '') return (c:get('k'))", "''" },
    { "a value past its time", "c:set('k', 'v', 0.02) ngx.sleep(0.05) return (c:get('k'))", "nil" },
    { "a time of 0", "c:set('k', 'v', 0) return (c:get('k')), (c:ttl('k'))", "'v' 0" },
    { "no time", "c:set('k', 'v', 9) c:set('k', 'v') return (c:ttl('k'))", "0" },
    { "the time left",
      "c:set('k', 'v', 95) local t = c:ttl('k') "
      .. "return t > 80 and t <= 95.01", "true" },
    { "the time of what is not there", "return c:ttl('none')", "nil 'not found'",
      "nil", "An absent key has `nil`" },
    { "a time below 0", "return (pcall(c.set, c, 'k', 'v', -1))", "false" },
    { "add to nothing", "return (c:add('k', 'v')), (c:get('k'))", "true 'v'" },
    { "add to something", "c:set('k', 'v') local ok, err = c:add('k', 'w') "
      .. "return ok, err, (c:get('k'))", "false 'exists' 'v'" },
    { "add to what is past its time",
      "c:set('k', 'v', 0.02) ngx.sleep(0.05) return (c:add('k', 'w')), (c:get('k'))", "true 'w'" },
    { "add with a time", "c:add('k', 'v', 0.02) ngx.sleep(0.05) return (c:get('k'))", "nil" },
    { "replace nothing", "local ok, err = c:replace('k', 'v') return ok, err, (c:get('k'))",
      "false 'not found' nil" },
    { "replace something", "c:set('k', 'v') return (c:replace('k', 'w')), (c:get('k'))",
      "true 'w'" },
    { "replace what is past its time", "c:set('k', 'v', 0.02) ngx.sleep(0.05) "
      .. "local ok, err = c:replace('k', 'w') return ok, err", "false 'not found'" },
    { "delete", "c:set('k', 'v') return (c:delete('k')), (c:get('k'))", "true nil" },
    { "delete nothing", "return (c:delete('none'))", "true",
      "false", "false when there was none" },
    { "set nil", "c:set('k', 'v') return (pcall(c.set, c, 'k', nil))", "true",
      "false", "**`set(key, nil)` raises**" },
    { "incr of nothing", "local n, err = c:incr('n', 1) return n, err", "nil 'not found'" },
    { "incr from a beginning", "return (c:incr('n', 2, 5)), (c:incr('n', 2, 5))", "7 9" },
    { "incr by less than nothing, and by a part",
      "c:incr('n', 1, 0) return (c:incr('n', -3)), (c:incr('n', 0.5))", "-2 -1.5" },
    { "incr of what is no number",
      "c:set('k', 'v') local n, err = c:incr('k', 1) return n, err", "nil 'not a number'" },
    { "incr keeps the time", "c:incr('n', 1, 0, 90) c:incr('n', 1) return c:ttl('n') > 80",
      "true" },
    { "a time for the first incr only", "c:incr('n', 1, 0) c:incr('n', 1, 0, 9) "
      .. "return (c:ttl('n'))", "0" },
    { "a number that was counted", "c:incr('n', 1, 0) return (c:get('n'))", "1",
      "'1'", "A number is stored as decimal text" },
    { "a number as a value", "return (pcall(c.set, c, 'k', 1))", "true",
      "false", "**Values are strings**" },
    { "a number as a key", "c:set('1', 'v') local ok, v = pcall(c.get, c, 1) return ok, ok and v",
      "true 'v'", "false false", "**Keys are strings**" },
    { "no key", "return (pcall(c.get, c, nil))", "true", "false", "**Keys are strings**" },
    { "an empty key", "return (pcall(c.get, c, ''))", "true", "false", "**Keys are strings**" },
    { "expire", "c:set('k', 'v') c:expire('k', 0.02) ngx.sleep(0.05) return (c:get('k'))", "nil" },
    { "expire with 0", "c:set('k', 'v', 9) return (c:expire('k', 0)), (c:ttl('k'))", "true 0" },
    { "expire nothing", "local ok, err = c:expire('none', 1) return ok, err", "nil 'not found'",
      "false nil", "`expire` answers `false`" },
    { "clear", "c:set('a', '1') clear() return (c:get('a')), #keys(0)", "nil 0" },
    { "all keys", "c:set('a', '1') c:set('b', '2') local t = keys(0) table.sort(t) return t",
      "{'a', 'b'}" },
    { "some keys", "c:set('a', '1') c:set('b', '2') c:set('c', '3') return #keys(2)", "2" },
    { "keys past their time", "c:set('a', '1', 0.02) c:set('b', '2') ngx.sleep(0.05) "
      .. "return keys(0)", "{'b'}" },
    { "1025 keys", "for i = 1, 1025 do c:set('k' .. i, 'v') end return #keys()", "1024",
      "1025", "**all by default**" },
    -- What expires in Redis is told by it, and may be gone before it is looked for.
    { "make room by hand, within a number", "for i = 1, 3 do c:set('k' .. i, 'v', 0.02) end "
      .. "c:set('stays', 'v') ngx.sleep(0.05) local n = cleanup(2) cleanup() "
      .. "return n <= 2, cleanup(), (c:get('stays'))", "true 0 'v'" },
    { "one that is full", "for i = 1, 20000 do local ok = c:set('k' .. i, ('v'):rep(100)) "
      .. "if not ok then return i end end return (c:get('k20000')) == ('v'):rep(100)", "true" },
}

_M.lrucache = {
    { "a key that is not there", "return (c:get('none'))", "nil" },
    { "what was set", "c:set('k', 'v') return (c:get('k'))", "'v'" },
    { "a value past its time", "c:set('k', 'v', 0.02) ngx.sleep(0.05) return (c:get('k'))", "nil" },
    { "a value past its time, as the second result",
      "c:set('k', 'v', 0.02) ngx.sleep(0.05) return (select(2, c:get('k')))", "'v'",
      "nil", "**A value past its TTL**" },
    { "a time of 0", "c:set('k', 'v', 0) ngx.sleep(0.01) return (c:get('k'))", "nil",
      "'v'", "**a `ttl` of 0 is for ever**" },
    { "false", "c:set('k', false) return (c:get('k'))", "false" },
    { "a table", "c:set('k', { a = 1 }) return (c:get('k'))", "{a=1}" },
    { "the same table", "local t = {} c:set('k', t) return (c:get('k')) == t", "true",
      "false", "**what the codec takes**" },
    { "the same table for two reads", "c:set('k', {}) ngx.sleep(0.05) "
      .. "for i = 1, 30 do c:get('k') end return (c:get('k')) == (c:get('k'))", "true" },
    { "delete", "c:set('k', 'v') c:delete('k') return (c:get('k'))", "nil" },
    { "how many there are", "c:set('a', '1') c:set('b', '2') return count()", "2" },
    { "clear", "c:set('a', '1') clear() return (c:get('a')), count()", "nil 0" },
    { "all keys", "c:set('a', '1') c:set('b', '2') local t = keys() table.sort(t) return t",
      "{'a', 'b'}" },
    { "some keys", "c:set('a', '1') c:set('b', '2') c:set('c', '3') return #keys(2)", "2" },
    { "more than it holds", "for i = 1, 101 do c:set(tostring(i), i) end return (c:get('1'))",
      "nil", "1", "**bytes, not items**" },
    { "a number as a key", "return (pcall(c.set, c, 1, 'v'))", "true",
      "false", "**Keys are strings**" },
}

local COUNTING = "local n = 0 local function load(...) n = n + 1 return ... end "
local STALE = "fetch('k', { ttl = 0.02, resurrect_ttl = 9 }, load, 'old') ngx.sleep(0.05) "

_M.mlcache = {
    { "what the loader returns, once", COUNTING .. "return (fetch('k', nil, load, 'v')), "
      .. "(fetch('k', nil, load, 'w')), n", "'v' 'v' 1" },
    { "a table, a number, false", "return (fetch('t', nil, function() return { a = 1 } end)), "
      .. "(fetch('n', nil, function() return 1.5 end)), "
      .. "(fetch('f', nil, function() return false end)), (fetch('f', nil, error))",
      "{a=1} 1.5 false false" },
    { "arguments for the loader", "return (fetch('k', nil, function(a, b) return a .. b end, "
      .. "'x', 'y'))", "'xy'" },
    { "nothing, which is remembered", COUNTING .. "return (fetch('k', nil, load, nil)), "
      .. "(fetch('k', nil, load, 'v')), n", "nil nil 1" },
    { "nothing, for as long as is said", COUNTING .. "fetch('k', { neg_ttl = 0.02 }, load, nil) "
      .. "ngx.sleep(0.05) return (fetch('k', nil, load, 'v')), n", "'v' 2" },
    { "an error, which is not kept", COUNTING .. "local v, err = fetch('k', nil, load, nil, 'bad')"
      .. " return v, err, (fetch('k', nil, load, 'v')), n", "nil 'bad' 'v' 2" },
    { "a loader that raises", "local v, err = fetch('k', nil, function() error('oops') end) "
      .. "return v, err:find('oops', 1, true) ~= nil, err:find('traceback', 1, true) ~= nil",
      "nil true true" },
    { "a time that the loader says", COUNTING .. "fetch('k', nil, load, 'v', nil, 0.02) "
      .. "ngx.sleep(0.05) return (fetch('k', nil, load, 'w')), n", "'w' 2" },
    { "a time that the loader says before that of the call", COUNTING
      .. "fetch('k', { ttl = 0.02 }, load, 'v', nil, 9) ngx.sleep(0.05) "
      .. "return (fetch('k', nil, load, 'w')), n", "'v' 1" },
    { "a time of 0", COUNTING .. "fetch('k', { ttl = 0 }, load, 'v') "
      .. "ngx.sleep(0.02) return (fetch('k', nil, load, 'w')), n", "'v' 1" },
    { "a time below 0: not to be kept", COUNTING .. "return (fetch('k', nil, load, 'v', nil, -1)),"
      .. " (fetch('k', nil, load, 'w', nil, -1)), n", "'v' 'w' 2" },
    { "what was set, without a loader", "set('k', 'v') "
      .. "return (fetch('k', nil, error))", "'v'" },
    { "what was deleted", COUNTING .. "fetch('k', nil, load, 'v') c:delete('k') "
      .. "return (fetch('k', nil, load, 'w')), n", "'w' 2" },
    { "what was cleared", COUNTING .. "fetch('k', nil, load, 'v') clear() "
      .. "return (fetch('k', nil, load, 'w')), n", "'w' 2" },
    { "peek", "c:delete('k') local none = c:peek('k') fetch('k', { ttl = 90 }, function() "
      .. "return 'v' end) local ttl, err, v = c:peek('k') return none, ttl > 80 and ttl < 91, err, "
      .. "v", "nil true nil 'v'" },
    { "a failing loader, with an old value", COUNTING .. STALE
      .. "return (fetch('k', { resurrect_ttl = 9 }, function() return nil, 'bad' end))", "'old'" },
    { "many keys", COUNTING .. "fetch('a', nil, load, '1') return many({ 'a', 'b' }, "
      .. "function(key) return key .. '!' end)", "{a='1', b='b!'}" },
    { "loaders of one key at once", COUNTING .. "local function slow() n = n + 1 ngx.sleep(0.02) "
      .. "return 'v' end local t, seen = {}, {} for i = 1, 10 do t[i] = ngx.thread.spawn(function()"
      .. " seen[i] = fetch('k', nil, slow) end) end for i = 1, 10 do ngx.thread.wait(t[i]) end "
      .. "return n, #seen, seen[10]", "1 10 'v'" },
    { "no time, and nothing, with neg_ttl = 0", COUNTING .. "fetch('k', { neg_ttl = 0 }, load, nil)"
      .. " return (fetch('k', nil, load, 'v')), n", "nil 1", "'v' 2", "**`neg_ttl = 0`: not" },
}

return _M
