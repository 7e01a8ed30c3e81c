-- wrk's report, as benchmarks/wrk.py reads it: one line of JSON after its own.
function done(summary, latency, requests)
    local errors = summary.errors
    io.write(string.format(
        '\n{"messages": %d, "bytes": %d, "errors": %d, "seconds": %.6f, ' ..
        '"p50_us": %.1f, "p90_us": %.1f, "p99_us": %.1f, "max_us": %.1f}\n',
        summary.requests, summary.bytes,
        errors.connect + errors.read + errors.write + errors.status + errors.timeout,
        summary.duration / 1e6,
        latency:percentile(50), latency:percentile(90), latency:percentile(99), latency.max))
end
