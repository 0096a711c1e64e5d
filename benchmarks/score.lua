-- What wrk sends to a scoring door: one body after another, on kept-alive connections.
-- wrk -s score.lua URL -- KEY CONTENT_TYPE FILE[,FILE...]; prints one line of JSON at its end.

local requests, calls = {}, 0

function init(arguments)
  wrk.method = "POST"
  wrk.headers["Content-Type"] = arguments[2]
  if arguments[1] ~= "-" then
    wrk.headers["Authorization"] = "Bearer " .. arguments[1]
  end
  for name in string.gmatch(arguments[3], "[^,]+") do
    local file = assert(io.open(name, "rb"))
    requests[#requests + 1] = wrk.format(nil, nil, nil, file:read("*a"))
    file:close()
  end
end

function request()
  calls = calls + 1
  return requests[calls % #requests + 1]
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '\n{"requests":%d,"duration_us":%d,"p50_us":%d,"p99_us":%d,"refused":%d,"broken":%d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), errors.status,
    errors.connect + errors.read + errors.write + errors.timeout))
end
