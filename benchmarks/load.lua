-- What wrk sends: one kind of call, on kept-alive connections, to one run (or experiment) after another.
-- wrk -s load.lua URL -- KIND TOKEN RUN[,RUN...]; prints one line of JSON at its end.

local kind, token, runs, calls = "", "", {}, 0
-- Every round logs points that no round before it has logged: both servers treat repeated ones differently.
local first = (os.time() % 1000000) * 100000
local point = '{"key":"m%d","value":%.6f,"timestamp":%d,"step":%d}'

function init(arguments)
  kind, token = arguments[1], arguments[2]
  for run in string.gmatch(arguments[3], "[^,]+") do
    runs[#runs + 1] = run
  end
  wrk.method = "POST"
  wrk.headers["Content-Type"] = "application/json"
  if token ~= "-" then
    wrk.headers["Authorization"] = "Bearer " .. token
  end
end

local function batch(run, keys)
  local points = {}
  for index = 1, 1000 do
    local step = first + calls * 1000 + index
    points[index] = string.format(point, index % keys, step / 7, 1700000000000 + step, step)
  end
  return '{"run_id":"' .. run .. '","metrics":[' .. table.concat(points, ",") .. "]}"
end

function request()
  calls = calls + 1
  local run = runs[calls % #runs + 1]
  local path, body
  if kind == "log-metric" then
    path = "log-metric"
    body = string.format(
      '{"run_uuid":"%s","run_id":"%s","key":"loss","value":%.6f,"timestamp":%d,"step":%d}',
      run, run, calls / 7, 1700000000000 + first + calls, first + calls)
  elseif kind == "search" then
    path = "search"
    body = '{"experiment_ids":["' .. run .. '"],"max_results":100,"filter":"metrics.m1 > 0.5","order_by":["metrics.m3 DESC"]}'
  elseif kind == "create-run" then
    path = "create"
    body = '{"experiment_id":"0","user_id":"bench","start_time":1700000000000,'
      .. '"tags":[{"key":"mlflow.user","value":"bench"},{"key":"mlflow.source.type","value":"LOCAL"}]}'
  else
    path = "log-batch"
    body = batch(run, kind == "log-batch-10" and 10 or 1000)
  end
  return wrk.format(nil, "/api/2.0/mlflow/runs/" .. path, nil, body)
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '\n{"requests":%d,"duration_us":%d,"p50_us":%d,"p99_us":%d,"refused":%d,"broken":%d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), errors.status,
    errors.connect + errors.read + errors.write + errors.timeout))
end
