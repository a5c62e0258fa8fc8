--- Free ports of 127.0.0.1.

local bit = require "bit"
local ffi = require "ffi"

ffi.cdef [[
struct bench_address { unsigned short family, port; unsigned char host[4], zero[8]; };
int socket(int domain, int type, int protocol);
int bind(int fd, const struct bench_address *address, unsigned length);
int getsockname(int fd, struct bench_address *address, unsigned *length);
int close(int fd);
]]

local C = ffi.C

local _M = {}

--- A port that nobody listens on at this moment.
function _M.free()
    local address = ffi.new("struct bench_address", { family = 2, host = { 127, 0, 0, 1 } })
    local length = ffi.new("unsigned[1]", 16)
    local fd = C.socket(2, 1, 0)
    assert(fd >= 0 and C.bind(fd, address, 16) == 0 and C.getsockname(fd, address, length) == 0)
    C.close(fd)
    return bit.bor(bit.lshift(bit.band(address.port, 0xff), 8), bit.rshift(address.port, 8))
end

return _M
