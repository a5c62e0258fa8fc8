--- The one mailbox of this Lua VM, in which the operations of all its caches complete.

local ffi = require "ffi"

local C = require("resty.tandem.lib").C

local mailbox, gone

local function release(box)
    mailbox, gone = nil, true
    C.tandem_mailbox_release(box)
end

--- Made when first asked for; given up with the VM.
-- @return the mailbox; or nil, err
return function()
    if gone then
        return nil, "the Lua VM is being closed"
    elseif not mailbox then
        local made = C.tandem_mailbox_create()
        if made == nil then
            return nil, "no memory for a mailbox"
        end
        mailbox = ffi.gc(made, release)
    end
    return mailbox
end
