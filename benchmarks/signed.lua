-- What wrk sends: the lines of the file in REQUESTS, each once, since a signature is good for one request; then nothing more. The
-- result is one line of JSON.
local threads = {}

function setup(thread)
    thread:set("index", #threads)
    table.insert(threads, thread)
end

function init()
    lines, place = {}, 0
    local number, count = 0, tonumber(os.getenv("THREADS"))
    for line in io.lines(os.getenv("REQUESTS")) do
        if number % count == index then table.insert(lines, wrk.format("GET", line)) end
        number = number + 1
    end
end

function request()
    -- wrk asks the first thread for one that it looks at and does not send.
    if index == 0 and not seen then
        seen = true
        return lines[1]
    end
    place = place + 1
    return lines[place]
end

-- In milliseconds. A connection that has nothing left to send waits for the end.
function delay()
    return place >= #lines and 1e6 or 0
end

function done(summary, latency)
    local errors = summary.errors
    io.write(string.format(
        '\n{"requests": %d, "seconds": %.6f, "refused": %d, "failed": %d, "p50": %d, "p90": %d, "p99": %d, "p999": %d, "max": %d}\n',
        summary.requests, summary.duration / 1e6, errors.status, errors.connect + errors.read + errors.write + errors.timeout,
        latency:percentile(50), latency:percentile(90), latency:percentile(99), latency:percentile(99.9), latency.max))
end
