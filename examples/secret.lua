--- Secrets that users carry, by the OpenSSL that nginx has (as lua-resty-string does, which Debian
-- does not have).

local ffi = require "ffi"

ffi.cdef [[
int RAND_bytes(unsigned char *buffer, int size);
unsigned char *SHA256(const unsigned char *data, size_t size, unsigned char *digest);
]]

local _M = {}

--- Returns a secret that nobody guesses: 32 random bytes, in 43 characters that a cookie may have.
function _M.new()
    local bytes = ffi.new("unsigned char[32]")
    assert(ffi.C.RAND_bytes(bytes, 32) == 1, "no random bytes")
    local text = ngx.encode_base64(ffi.string(bytes, 32), true)
    return (text:gsub("[+/]", { ["+"] = "-", ["/"] = "_" }))
end

--- Returns what stands for a secret in a key.  A secret is as good as a password, and keys are seen
-- by many: by MONITOR, in Redis's slow log, its dumps and backups, in a list of keys.  Nobody gets
-- from the hash to a secret that is random.
function _M.hash(secret)
    local digest = ffi.new("unsigned char[32]")
    ffi.C.SHA256(secret, #secret, digest)
    return ngx.encode_base64(ffi.string(digest, 32))
end

return _M
