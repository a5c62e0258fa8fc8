--- What may be done to Redis in the phases of nginx (ngx.get_phase).  Memory is used in all of
-- them.
--
--   "wait"   reads and writes wait for Redis, without blocking the worker, if the code may yield
--   "none"   Redis is not used: what is queued here would be copied by fork into every worker
--
-- In any phase not named here reads do not ask Redis, set and delete are queued and forgotten.

local WAIT = {
    "server_rewrite", "rewrite", "access", "precontent", "content", "timer", "ssl_cert",
    "ssl_session_fetch", "proxy_ssl_cert", "proxy_ssl_verify",
}

local phases = { init = "none" }

for _, phase in ipairs(WAIT) do
    phases[phase] = "wait"
end

return phases
