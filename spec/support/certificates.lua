--- Certificates for specs, made by openssl: an authority's, and what it issues.

local run = require "spec.support.run"

local _M = {}
local Authority = {}
Authority.__index = Authority

local function openssl(...)
    local output, status = run.run { run.need("openssl"), ... }
    if status ~= 0 then
        error("openssl " .. table.concat({ ... }, " ") .. ": " .. output, 2)
    end
end

local function make_key(path)
    openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", path)
    return path
end

--- A certificate that vouches for itself.
-- @param names its subjectAltName: "DNS:a.test,IP:127.0.0.1"
-- @return { cert = path, key = path }
function _M.self_signed(folder, name, names)
    local path = folder .. "/" .. name
    make_key(path .. ".key")
    openssl("req", "-x509", "-new", "-key", path .. ".key", "-subj", "/CN=" .. name, "-days", "2",
            "-addext", "subjectAltName=" .. names, "-out", path .. ".pem")
    return { cert = path .. ".pem", key = path .. ".key" }
end

--- An authority of its own, in a folder of its own: { folder=, cert=, key= }.
function _M.authority()
    local self = setmetatable({ folder = run.temp_dir() }, Authority)
    self.cert, self.key = self.folder .. "/ca.pem", make_key(self.folder .. "/ca.key")
    openssl("req", "-x509", "-new", "-key", self.key, "-subj",
            "/CN=Authority " .. self.folder:match("[^/]*$"), "-days", "2", "-out", self.cert)
    return self
end

--- Issues a certificate.
-- @param days how long it is valid; 0: it has expired when this returns
-- @return { cert = path, key = path }
function Authority:issue(name, names, days)
    local path = self.folder .. "/" .. name
    make_key(path .. ".key")
    openssl("req", "-new", "-key", path .. ".key", "-subj", "/CN=" .. name, "-out", path .. ".csr")
    run.write_file(path .. ".ext", "subjectAltName=" .. names .. "\n")
    openssl("x509", "-req", "-in", path .. ".csr", "-CA", self.cert, "-CAkey", self.key,
            "-CAcreateserial", "-days", tostring(days or 2), "-extfile", path .. ".ext",
            "-out", path .. ".pem")
    if days == 0 then
        run.wait_until("the certificate has expired", function()
            local _, status = run.run { "openssl", "x509", "-checkend", "0", "-in", path .. ".pem" }
            return status ~= 0
        end)
    end
    return { cert = path .. ".pem", key = path .. ".key" }
end

--- A folder with its certificate, as OpenSSL looks it up there.
function Authority:as_folder()
    local folder = run.temp_dir()
    run.run { "cp", self.cert, folder .. "/ca.pem" }
    openssl("rehash", folder)
    return folder
end

return _M
