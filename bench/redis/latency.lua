-- For wrk: prints one line of JSON at the end.
function done(summary, latency) -- luacheck: ignore
    io.write(string.format(
        '{"requests":%d,"microseconds":%d,"bad":%d,"p50":%d,"p99":%d,"p999":%d}\n',
        summary.requests, summary.duration,
        summary.errors.status + summary.errors.connect + summary.errors.read
        + summary.errors.timeout,
        latency:percentile(50), latency:percentile(99), latency:percentile(99.9)))
end
