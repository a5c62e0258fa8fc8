--- Redis over TLS: whom it is spoken to, and who is refused.  Where hiredis is too old for it, that
-- this is said.

local caches = require "spec.support.caches"
local certificates = require "spec.support.certificates"
local nginx = require "spec.support.nginx"
local redis = require "spec.support.redis"
local run = require "spec.support.run"
local stat = require "posix.sys.stat"
local tandem = require "resty.tandem"
local unistd = require "posix.unistd"

local hiredis = run.run { run.need("pkg-config"), "--modversion", "hiredis" }
local HAS_TLS = tonumber(hiredis:match("^%d+")) >= 1

-- What tandem.new raises.
local function raised(redis_options)
    local ok, err = pcall(tandem.new, "tls", { memory = "1m", redis = redis_options })
    assert.is_false(ok)
    return err
end

local function assert_says(words, sentence)
    assert.is_truthy(tostring(sentence):find(words, 1, true), tostring(sentence))
end

if not HAS_TLS then
    describe("rediss:// with a hiredis that is too old", function()
        it("is refused, with what to install", function()
            for _, options in ipairs({
                "rediss://:s3cret@127.0.0.1", "REDISS://h/1", { url = "rediss://h" },
                { url = "rediss://h", tls = { ca = "/ca.pem", verify = true } },
                "rediss+cluster://:s3cret@h,i",
            }) do
                local err = raised(options)
                assert_says("rediss:// needs hiredis 1.0 or newer", err)
                assert_says("built with " .. hiredis:match("^[%d.]+"), err)
                assert_says("install a newer libhiredis-dev", err)
                assert.is_nil(err:find("s3cret", 1, true), err)
            end
        end)

        it("is malformed first", function()
            assert_says("opts.redis: there is no host", raised("rediss://"))
            assert_says("does not begin with rediss://", raised({ url = "redis://h", tls = {} }))
        end)
    end)
    return
end

describe("TLS", function()
    local authority, stranger, good, client, server, strict

    setup(function()
        authority, stranger = certificates.authority(), certificates.authority()
        good = authority:issue("good", "DNS:localhost,DNS:redis.test,IP:127.0.0.1")
        client = authority:issue("client", "DNS:client")
        server = redis.start { tls = { cert = good.cert, key = good.key, ca = authority.cert } }
        strict = redis.start { tls = { cert = good.cert, key = good.key, ca = authority.cert,
                                       clients = "yes" } }
        tandem.set_logger(function() end)
    end)
    teardown(function()
        tandem.set_logger(nil)
        run.cleanup()
    end)

    -- A cache over TLS.  tls: its options, beside the authority.
    local function open(on, tls, options, host)
        options = options or {}
        tls = tls or {}
        if tls.verify ~= false then
            tls.ca = tls.ca or authority.cert
        end
        options.redis = { url = on:tls_url(host), tls = tls }
        options.connect_timeout = options.connect_timeout or 5
        options.timeout = options.timeout or 5
        return caches.on(on, options)
    end

    local function serves(cache)
        assert.is_true(cache:set("key", "value"))
        assert.are.equal("value", (cache:get("key")))
        assert.is_true(cache:delete("key"))
    end

    -- What a read says for which there is no connection.
    local function refusal(cache)
        local value, err = cache:get("nothing")
        assert.is_nil(value)
        return err
    end

    describe("serves", function()
        it("every operation, and the tracking link", function()
            local cache = open(server, nil, { max_stale = 2, codec = "string" })
            local writer = server:connect()
            serves(cache)
            -- What was set in vain while the link was late is not in memory.
            run.wait_until("it is in memory", function()
                return cache:set("key", "old") and select(3, cache:get("key")) == "memory"
            end)
            writer:call("SET", cache.name .. ":key", "new")
            run.wait_until("the link tells of it", function()
                return cache:get("key") == "new"
            end)
            assert.are.equal("on", cache:stats().tracking.state)
            assert.are.equal(5, cache:incr("n", 5, 0))
            assert.is_true(cache:expire("n", 100))
            assert.is_true((cache:add("added", "1")))
            cache:clear()
            assert.are.same({}, cache:keys())
            writer:close()
        end)

        it("values and batches of any size", function()
            local cache = open(server, nil, { memory = "1m", timeout = 30 })
            for _, bytes in ipairs({ 0, 1, 16383, 16384, 16385, 70000, 3 * 2 ^ 20 + 7 }) do
                local value = ("0123456789abcdef"):rep(math.ceil(bytes / 16)):sub(1, bytes)
                assert.is_true(cache:set("value", value))
                assert.is_true((cache:get("value")) == value, bytes .. " bytes")
            end
            local items, keys = {}, {}
            for i = 1, 3000 do
                keys[i] = "key" .. i
                items[keys[i]] = ("x"):rep(i % 997) .. i
            end
            assert.is_true(cache:set_multi(items))
            local other = open(server, nil, { memory = "1m", timeout = 30,
                                              prefix = cache.name .. ":" })
            local found = assert(other:get_multi(keys))
            for key, value in pairs(items) do
                assert.is_true(found[key] == value, key)
            end
        end)

        it("those who show the certificate that it asks for", function()
            serves(open(strict, { cert = client.cert, key = client.key }))
        end)

        it("by a folder of certificates", function()
            serves(open(server, { ca = authority:as_folder() }))
        end)

        it("by name, by address, and by another name", function()
            serves(open(server, nil, nil, "localhost"))
            serves(open(server, { server_name = "redis.test" }))
            serves(open(server, { server_name = "127.0.0.1" }, nil, "localhost"))
        end)

        it("by a bundle of ten megabytes", function()
            local bundle = run.temp_dir() .. "/bundle.pem"
            local one = run.read_file(authority.cert)
            run.write_file(bundle, one:rep(math.ceil(10 * 2 ^ 20 / #one)))
            serves(open(server, { ca = bundle }))
        end)

        it("anybody, without a look at whom, when told so", function()
            serves(open(server, { verify = false, server_name = "other.test" }))
        end)

        it("again, when it was away", function()
            local cache = open(server, nil, { max_stale = 1, timeout = 0.5 })
            serves(cache)
            server:restart()
            run.wait_until("it serves again", function() return cache:set("key", "value") == true
                and (cache:stats().tracking.state) == "on" end)
            assert.are.equal("value", (cache:get("key")))
        end)

        it("a child, which makes connections of its own", function()
            assert.are.equal("parent child parent\n", run.lua(([[
                local unistd, wait = require "posix.unistd", require "posix.sys.wait"
                local cache = assert(require("resty.tandem").new("forks", { memory = "1m",
                    tracking = true, connect_timeout = 5, timeout = 5,
                    redis = { url = "%s", tls = { ca = "%s" } } }))
                assert(cache:set("key", "parent"))
                io.write(cache:get("key"), " ")
                io.flush()
                local pid = unistd.fork()
                if pid == 0 then
                    assert(cache:set("child", "child"))
                    cache:get("child")
                    io.write(cache:get("child"), " ")
                    io.flush()
                    os.exit(0)
                end
                local _, how, status = wait.wait(pid)
                assert(how == "exited" and status == 0)
                assert(cache:set("other", "parent"))
                print((cache:get("other")))
            ]]):format(server:tls_url(), authority.cert)))
        end)
    end)

    describe("refuses", function()
        it("a server whose certificate is for another name or address", function()
            assert_says("the server's certificate is not for other.test (tls.server_name",
                        refusal(open(server, { server_name = "other.test" })))
            assert_says("the server's certificate is not for 127.0.0.2",
                        refusal(open(server, { server_name = "127.0.0.2" })))
        end)

        it("an issuer that it does not know", function()
            assert_says("is from an issuer that is not in tls.ca",
                        refusal(open(server, { ca = stranger.cert })))
            local of_system = caches.on(server, { redis = server:tls_url(), connect_timeout = 5 })
            assert_says("is from an issuer that is not in tls.ca, or not known to this system",
                        refusal(of_system))
        end)

        it("a certificate that has expired, or that vouches for itself", function()
            local names = "IP:127.0.0.1"
            for says, pair in pairs({
                ["the server's certificate, or one of its issuers, has expired"] =
                    authority:issue("old", names, 0),
                ["the server's certificate is self-signed, and not in tls.ca"] =
                    certificates.self_signed(authority.folder, "self", names),
            }) do
                local other = redis.start { tls = { cert = pair.cert, key = pair.key,
                                                    ca = authority.cert } }
                assert_says(says, refusal(open(other)))
                assert.is_nil(other:call("INFO", "clients"):find("name=tandem", 1, true))
                other:stop()
            end
        end)

        it("to go on without the certificate that the server asks for", function()
            local wanted = "the server wants a certificate of its client (tls.cert, tls.key)"
            assert_says(wanted, refusal(open(strict)))
            local unknown = stranger:issue("unknown", "DNS:unknown")
            assert_says("our certificate (tls.cert)",
                        refusal(open(strict, { cert = unknown.cert, key = unknown.key })))
        end)

        it("a server that does not speak TLS, and to speak plainly with one that does", function()
            for says, cache in pairs({
                -- It closes, answers or waits, as random bytes have it.
                ["is this the server's TLS port?"] = caches.on(server, { connect_timeout = 1,
                    redis = { url = "rediss://127.0.0.1:" .. server.port,
                              tls = { ca = authority.cert } } }),
                ["does it want TLS (rediss://)?"] = caches.on(server, { timeout = 5,
                    redis = "redis://127.0.0.1:" .. server.tls_port }),
            }) do
                assert_says(says, refusal(cache))
            end
        end)

        it("to wait for a server that says nothing", function()
            local cache = open(server, nil, { connect_timeout = 0.3 })
            server:freeze()
            local ok, err = pcall(refusal, cache)
            server:thaw()
            assert.is_true(ok)
            assert_says("no answer to TLS in 300 ms: is this the server's TLS port?", err)
        end)
    end)

    describe("options", function()
        local folder

        setup(function() folder = run.temp_dir() end)

        local function file(name, content)
            run.write_file(folder .. "/" .. name, content)
            return folder .. "/" .. name
        end

        it("that cannot be used raise, without a path", function()
            local encrypted, other = folder .. "/encrypted.key", stranger:issue("other", "DNS:o")
            run.run { "openssl", "ec", "-in", client.key, "-aes128", "-passout", "pass:s3cret",
                      "-out", encrypted }
            local empty, junk = file("empty", ""), file("junk", ("junk\n"):rep(1000))
            local cert, key, ca = client.cert, client.key, authority.cert
            local absent = folder .. "/absent"
            local function part(path) return (run.read_file(path):sub(1, 100)) end
            local half_cert, half_key = file("half.pem", part(cert)), file("half.key", part(key))
            local der, public = folder .. "/cert.der", folder .. "/public.pem"
            run.run { "openssl", "x509", "-in", cert, "-outform", "DER", "-out", der }
            run.run { "openssl", "ec", "-in", key, "-pubout", "-out", public }
            local huge = file("huge", ("x"):rep(16 * 2 ^ 20 + 1))
            for _, case in ipairs({
                { { ca = absent }, "opts.redis.tls.ca: cannot be read: No such file" },
                { { ca = empty }, "opts.redis.tls.ca: the file is empty" },
                { { ca = junk }, "opts.redis.tls.ca: is not in PEM, not a certificate" },
                { { ca = key }, "opts.redis.tls.ca: holds a private key, not a certificate" },
                { { ca = "/dev/zero" }, "opts.redis.tls.ca: is not a file or a folder" },
                { { ca = half_cert }, "opts.redis.tls.ca: holds a certificate that cannot" },
                { { ca = huge }, "opts.redis.tls.ca: the file has 16777217 bytes, more than any" },
                { { cert = cert }, "opts.redis.tls.cert is given without tls.key" },
                { { key = key }, "opts.redis.tls.key is given without tls.cert" },
                { { cert = absent, key = key }, "opts.redis.tls.cert: cannot be read" },
                { { cert = folder, key = key }, "opts.redis.tls.cert: is not a file" },
                { { cert = key, key = key }, "opts.redis.tls.cert: holds a private key" },
                { { cert = junk, key = key }, "opts.redis.tls.cert: is not in PEM" },
                { { cert = der, key = key }, "opts.redis.tls.cert: is not in PEM" },
                { { cert = empty, key = key }, "opts.redis.tls.cert: the file is empty" },
                { { cert = half_cert, key = key }, "opts.redis.tls.cert: holds a certificate" },
                { { cert = cert, key = absent }, "opts.redis.tls.key: cannot be read" },
                { { cert = cert, key = empty }, "opts.redis.tls.key: the file is empty" },
                { { cert = cert, key = junk }, "opts.redis.tls.key: is not in PEM" },
                { { cert = cert, key = cert }, "opts.redis.tls.key: holds a certificate" },
                { { cert = cert, key = public }, "opts.redis.tls.key: holds something else" },
                { { cert = cert, key = half_key }, "opts.redis.tls.key: holds a private key that" },
                { { cert = cert, key = other.key }, "opts.redis.tls.key: is not the key of" },
                { { cert = cert, key = encrypted }, "opts.redis.tls.key: is encrypted" },
                { { ca = ca, verify = false }, "opts.redis.tls.ca is given, but with" },
            }) do
                local err = raised({ url = server:tls_url(), tls = case[1] })
                assert_says(case[2], err)
                assert.is_nil(err:find(folder, 1, true), err)
                assert.is_nil(err:find(authority.folder, 1, true), err)
            end
        end)

        -- Root reads all, unless it gives that up.
        local AS_OTHERS = { "setpriv", "--bounding-set=-dac_override,-dac_read_search",
                             "--inh-caps=-dac_override,-dac_read_search" }

        it("that name files that we may not read raise, and say which", function()
            local words = unistd.geteuid() == 0 and { unpack(AS_OTHERS) } or {}
            local files = { ca = authority.cert, cert = client.cert, key = client.key }
            words[#words + 1], words[#words + 2] = run.luajit, folder .. "/open.lua"
            for name, path in pairs(files) do
                local secret = folder .. "/secret-" .. name
                run.run { "cp", path, secret }
                stat.chmod(secret, 0)
                local tls = { ca = files.ca, cert = files.cert, key = files.key, [name] = secret }
                run.write_file(folder .. "/open.lua", ([[
                    package.path, package.cpath = %q, %q
                    print(pcall(require("resty.tandem").new, "unread", { redis = { url = %q,
                        tls = { ca = %q, cert = %q, key = %q } } }))
                ]]):format(package.path, package.cpath, server:tls_url(), tls.ca, tls.cert,
                           tls.key))
                assert_says("opts.redis.tls." .. name .. ": cannot be read: Permission denied",
                            (run.run(words)))
            end
        end)
    end)

    describe("in nginx", function()
        -- Like /etc/ssl/private: workers may not look into it.
        local function private_folder(pair)
            local folder = run.temp_dir()
            run.run { "cp", pair.cert, folder .. "/cert.pem" }
            run.run { "cp", pair.key, folder .. "/key.pem" }
            run.run { "chmod", "0700", folder }
            return folder
        end

        local function start(folder)
            return nginx.start {
                init = ([[
                    cache = assert(require("resty.tandem").new("web", { memory = "4m",
                        connect_timeout = 5, timeout = 5, redis = { url = "%s", tls = {
                            ca = "%s", cert = "%s/cert.pem", key = "%s/key.pem" } } }))
                ]]):format(strict:tls_url(), authority.cert, folder, folder),
            }
        end

        local function serves_everywhere(web)
            for _, pid in ipairs(web:workers()) do
                assert.are.equal("true 'value'", web:eval_in(pid, [[
                    local done = cache:set("key", "value")
                    return done, (cache:get("key"))
                ]]))
            end
        end

        it("serves all workers, with a key that they may not read", function()
            local web = start(private_folder(client))
            serves_everywhere(web)
            web:quit()
            assert.are.same({}, web:problems())
        end)

        it("takes what has replaced a certificate when it is reloaded", function()
            local folder = private_folder(stranger:issue("client", "DNS:client"))
            local web = start(folder)
            assert_says("our certificate (tls.cert)",
                        web:eval([[return cache:get("key")]]))
            run.run { "cp", client.cert, folder .. "/cert.pem" }
            run.run { "cp", client.key, folder .. "/key.pem" }
            local old = web:reload()
            web:await_end(old)
            serves_everywhere(web)
            web:quit()
        end)
    end)

    it("finds its own OpenSSL where the host program shows another", function()
        local folder = run.temp_dir()
        local text = { "void abort(void);" }
        for _, name in ipairs({ "SSL_new", "SSL_CTX_new", "SSL_connect", "SSL_read_ex", "SSL_free",
                                "SSL_write_ex", "OPENSSL_init_ssl", "TLS_client_method",
                                "ERR_clear_error", "CRYPTO_malloc", "X509_new" }) do
            text[#text + 1] = ("void %s(void) { abort(); }"):format(name)
        end
        run.write_file(folder .. "/foreign.c", table.concat(text, "\n"))
        -- The other names are LibreSSL's and BoringSSL's.
        for _, name in ipairs({ "foreign.so", "libssl.so.48", "libssl.so", "libssl.so.0" }) do
            local library = folder .. "/" .. name
            local said, status = run.run { "cc", "-shared", "-fPIC", "-o", library,
                                           folder .. "/foreign.c" }
            assert.are.equal(0, status, said)
            assert.are.equal("value\n", run.lua(([[
            local cache = assert(require("resty.tandem").new("foreign", { memory = "1m",
                connect_timeout = 5, timeout = 5, redis = { url = "%s", tls = { ca = "%s" } } }))
            assert(cache:set("key", "value"))
            cache:clear()
            assert(cache:set("key", "value"))
            print((cache:get("key")))
            ]]):format(server:tls_url(), authority.cert), { env = { LD_PRELOAD = library } }))
        end
    end)

    it("without its library is refused, with what to install", function()
        local lonely = run.temp_dir()
        run.run { "cp", run.root .. "/build/libtandem.so", lonely }
        assert_says("libtandem_tls.so beside libtandem.so, and it is not there: install libssl-dev",
                    run.lua([[
            print(pcall(require("resty.tandem").new, "lonely", { redis = "rediss://h" }))
        ]], { env = { TANDEM_LIBRARY = lonely .. "/libtandem.so" } }))
    end)
end)
