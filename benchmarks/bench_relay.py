"""What does a job's MLflow call cost more through the agent's relay than straight to the server?

Both ways are measured by the same job in turns, on kept-alive connections; so is what penstock.log_metric costs, which
waits for neither.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator
from typing import Any

from benchmarks.measuring import Lab, Result, lab, print_results

ADDED_LIMIT_MS = 1.0
LOG_LIMIT_US = 50.0
MEMORY_LIMIT_MB = 16.0
ROUNDS, CALLS = 12, 200
FILE_MB = 64
SCRIPT = """
import http.client, json, os, statistics, sys, time
import penstock

rounds, calls, size, target = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]) << 20, sys.argv[4]
run, token = os.environ["MLFLOW_RUN_ID"], os.environ["MLFLOW_TRACKING_TOKEN"]
files = "/api/2.0/mlflow-artifacts/artifacts/%s/%s/artifacts/" % (os.environ["MLFLOW_EXPERIMENT_ID"], run)
ways = {"relay": os.environ["MLFLOW_TRACKING_URI"], "server": sys.argv[5]}
connections = {name: http.client.HTTPConnection(url[7:]) for name, url in ways.items()}
step = 0

def ask(way, method, path, body=None):
    connections[way].request(method, path, body, {"Authorization": "Bearer " + token})
    answer = connections[way].getresponse()
    content = answer.read()
    assert answer.status == 200, (answer.status, content)
    return content

def medians_ms(once):
    # One call of each way after the other, so that both meet the same machine.
    spent = {way: [] for way in ways}
    for number in range(calls):
        for way in sorted(ways, reverse=bool(number % 2)):
            began = time.perf_counter()
            once(way)
            spent[way].append(time.perf_counter() - began)
    return {way: statistics.median(times) * 1000 for way, times in spent.items()}

def agent_cpu_s():
    with open("/proc/%d/stat" % os.getppid(), "rb") as file:
        fields = file.read().rpartition(b")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

def log(way):
    global step
    step += 1
    ask(way, "POST", "/api/2.0/mlflow/runs/log-metric",
        json.dumps({"run_id": run, "key": way, "value": step / 7, "timestamp": 1700000000000 + step, "step": step}))

def read(way):
    ask(way, "GET", "/api/2.0/mlflow/runs/get?run_id=" + run)

def peak_mb():
    with open("/proc/%d/status" % os.getppid()) as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) / 1024

found = {"log": [], "read": [], "put": [], "get": []}
for way in ways:
    log(way)
    read(way)
began_cpu_s = agent_cpu_s()
for number in range(rounds):
    found["log"].append(medians_ms(log))
    found["read"].append(medians_ms(read))
found["cpu_ms"] = (agent_cpu_s() - began_cpu_s) / (2 * rounds * calls) * 1000
before = peak_mb()
content = os.urandom(size)
for number in range(4):
    for kind, way in [(k, w) for w in sorted(ways, reverse=bool(number % 2)) for k in ("put", "get")]:
        began = time.perf_counter()
        if kind == "put":
            ask(way, "PUT", files + way + ".bin", content)
        else:
            assert len(ask(way, "GET", files + way + ".bin")) == size
        found[kind].append({"way": way, "s": time.perf_counter() - began})
found["memory_mb"] = [peak_mb() - before]
found["peak_mb"] = peak_mb()
costs = []
for number in range(20):
    began = time.perf_counter()
    for index in range(1000):
        penstock.log_metric("loss", index / 7)
    costs.append((time.perf_counter() - began) * 1000)
found["log_us"] = costs
with open(target, "w") as file:
    json.dump(found, file)
"""


def measure() -> Iterator[Result]:
    """Yield what the relay adds to a write and to a read, what it holds of a large file, and the shim's own cost."""
    with lab() as place:
        found = run_job(place)
    for kind, what in (("log", "log-metric"), ("read", "runs/get")):
        both = {way: statistics.median(turn[way] for turn in found[kind]) for way in ("relay", "server")}
        added = [turn["relay"] - turn["server"] for turn in found[kind]]
        note = f"p50 {both['relay']:.2f} ms through the relay, {both['server']:.2f} ms without"
        note += f"; agent's CPU {found['cpu_ms']:.2f} ms a call"
        yield Result(f"relay adds to {what}, p50", added, "ms", ADDED_LIMIT_MS, note)
    speeds = [
        f"{kind} {speed(found[kind], 'relay'):.0f} / {speed(found[kind], 'server'):.0f} MB/s" for kind in ("put", "get")
    ]
    note = f"{FILE_MB} MB with / without relay: {', '.join(speeds)}; agent's peak {found['peak_mb']:.0f} MB"
    yield Result("agent holds of a large file", found["memory_mb"], "MB", MEMORY_LIMIT_MB, note)
    yield Result("penstock.log_metric", found["log_us"], "µs", LOG_LIMIT_US, "a mean of 1000 calls each")


def run_job(place: Lab) -> Any:
    """Run the script as a job and return what it found."""
    place.folder.mkdir(parents=True, exist_ok=True)
    script, result, job = (place.folder / name for name in ("measure.py", "found.json", "job.yml"))
    script.write_text(SCRIPT)
    place.run("up", "--background")
    url = place.read("status")["url"]
    command = f"python {script} {ROUNDS} {CALLS} {FILE_MB} {result} {url}"
    job.write_text(json.dumps({"command": command, "experiment_name": "bench"}))
    place.run("job", "create", "-f", job, "--stream")
    return json.loads(result.read_text())


def speed(turns: list[dict[str, Any]], way: str) -> float:
    """Return MB/s of the fastest transfer."""
    return FILE_MB / min(float(turn["s"]) for turn in turns if turn["way"] == way)


if __name__ == "__main__":
    print_results(list(measure()))
