"""What do clients see when replicas and the gateway are killed under load, and how long until all is well again?

``python -m benchmarks.chaos_serving [rounds]`` kills (``kill -9``) replicas of a model that has two, of a script that
has one, and the gateway, one after the other, while clients ask all the time. Every answer is compared with what it
must be. Exit status 1 if an answer was wrong, if one hung, if a status other than 424 and 503 came, or if more was lost
than the killed process had in hand. A gateway that dies again and again is started again after 0, 0.2, 1, 3 and then
5 seconds, so of its kills the first says what one costs.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import signal
import statistics
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import onnx
from onnx import TensorProto, helper

from benchmarks.measuring import lab
from penstock import Workspace
from penstock.entities.endpoint import CodeConfiguration, OnlineDeploymentSpec, RequestSettings
from penstock.home import Home

CLIENTS = 4
"""Per deployment."""

ROUNDS = 5
HANG_S = 30.0
CALM_ANSWERS = 50
CONCURRENT = 4
SCRIPT = """
import json
def init(): pass
def run(raw):
    ((number, other),) = json.loads(raw)["data"]
    return {"outputs": {"y": [[number + 1.0, other + 1.0]]}}
"""
BROKEN_CONNECTION = ("RemoteDisconnected", "ConnectionResetError", "BrokenPipeError", "IncompleteRead")


@dataclass
class Seen:
    """What the clients of one deployment saw; times are seconds of the monotonic clock."""

    good: int = 0
    bad: Counter[str] = field(default_factory=Counter)
    wrong: int = 0
    longest_s: float = 0.0
    last_bad: float = 0.0
    first_good: float = 0.0
    since: float = 0.0


class Clients:
    """Clients of one deployment that ask all the time, each with numbers of its own."""

    def __init__(self, uri: str, key: str, deployment: str) -> None:
        self.seen = Seen()
        self._place = urlsplit(uri)
        self._headers = {
            "Authorization": f"Bearer {key}",
            "Content-Type": "application/json",
            "azureml-model-deployment": deployment,
        }
        self._changed = threading.Condition()
        self._is_over = False
        self._threads = [threading.Thread(target=self._ask, args=(seed,)) for seed in range(CLIENTS)]
        for thread in self._threads:
            thread.start()

    def begin(self) -> None:
        """Forget what was seen: something is killed now."""
        with self._changed:
            self.seen = Seen(since=time.monotonic())

    def calm(self) -> None:
        """Wait until so many answers in a row were good, for twice the number of clients at least."""
        with self._changed:
            while True:
                bad, good = self.seen.bad.total(), self.seen.good
                goal = good + CALM_ANSWERS
                if not self._changed.wait_for(
                    lambda goal=goal, bad=bad: self.seen.good >= goal or self.seen.bad.total() > bad,  # type: ignore[misc]  # defaults bind the loop's
                    2 * HANG_S,
                ):
                    raise RuntimeError("the clients get no answers any more")
                if self.seen.bad.total() == bad:
                    return

    def close(self) -> None:
        """End the clients."""
        self._is_over = True
        for thread in self._threads:
            thread.join()

    def _ask(self, seed: int) -> None:
        draws = random.Random(seed)
        place = self._place
        connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=HANG_S)
        while not self._is_over:
            number = draws.randrange(1_000_000)
            sent = time.monotonic()
            problem, is_right = "", True
            try:
                connection.request("POST", place.path, json.dumps({"data": [[number, -number]]}), self._headers)
                response = connection.getresponse()
                content = response.read()
                if response.status == 200:
                    is_right = json.loads(content)["outputs"]["y"] == [[number + 1.0, -number + 1.0]]
                else:
                    problem = str(response.status)
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                problem = type(error).__name__
            self._note(sent, problem, is_right)
        connection.close()

    def _note(self, sent: float, problem: str, is_right: bool) -> None:
        now = time.monotonic()
        with self._changed:
            seen = self.seen
            seen.longest_s = max(seen.longest_s, now - sent)
            if problem:
                seen.bad[problem] += 1
                seen.last_bad = now
            else:
                seen.good += 1
                seen.wrong += not is_right
                if not seen.first_good and sent >= seen.since:
                    seen.first_good = now
            self._changed.notify_all()


@dataclass(frozen=True)
class Round:
    """What one kill led to, as the clients of one deployment saw it."""

    victim: str
    deployment: str
    bad: Counter[str]
    wrong: int
    longest_s: float
    recovery_s: float


def run(rounds: int = ROUNDS) -> list[Round]:
    """Kill each victim so many times and return what the clients saw."""
    found = []
    with lab() as place:
        workspace = Workspace(place.folder)
        _deploy(workspace, place.folder.parent)
        endpoint = workspace.endpoints.get("chaos")
        key = workspace.endpoints.get_keys("chaos").primary_key
        everyone = {name: Clients(endpoint.scoring_uri, key, name) for name in ("onnx", "script")}
        try:
            for number in range(rounds):
                for victim in ("replica of onnx", "replica of script", "gateway"):
                    for clients in everyone.values():
                        clients.calm()
                    for clients in everyone.values():
                        clients.begin()
                    _kill(place.folder, victim, number)
                    for name, clients in everyone.items():
                        clients.calm()
                        seen = clients.seen
                        recovery_s = max(seen.last_bad, seen.first_good) - seen.since
                        found.append(Round(victim, name, seen.bad, seen.wrong, seen.longest_s, recovery_s))
        finally:
            for clients in everyone.values():
                clients.close()
    return found


def problems(rounds: list[Round]) -> Iterator[str]:
    """Yield what should not have happened."""
    for one in rounds:
        where = f"{one.victim} killed, clients of {one.deployment}"
        if one.wrong:
            yield f"{where}: {one.wrong} wrong answers"
        if one.longest_s >= HANG_S or "TimeoutError" in one.bad:
            yield f"{where}: a request hung for {one.longest_s:.1f} s"
        allowed = {"424", "503", *(BROKEN_CONNECTION if one.victim == "gateway" else ())}
        if unknown := set(one.bad) - allowed:
            yield f"{where}: {', '.join(sorted(unknown))}"
        if one.victim.startswith("replica") and one.deployment not in one.victim and one.bad:
            yield f"{where}: {dict(one.bad)} though another deployment's replica was killed"
        in_hand = sum(one.bad[name] for name in ("424", *BROKEN_CONNECTION))
        if in_hand > 2 * CLIENTS:
            yield f"{where}: {in_hand} requests lost, more than were under way"


def main(arguments: list[str]) -> int:
    """Print a table, and what should not have happened."""
    found = run(int(arguments[0]) if arguments else ROUNDS)
    print(
        "| killed | clients of | times | recovery: first, median, worst (s) | longest request (s) | errors per kill |"
    )
    print("| --- | --- | --- | --- | --- | --- |")
    for victim, deployment in dict.fromkeys((one.victim, one.deployment) for one in found):
        mine = [one for one in found if (one.victim, one.deployment) == (victim, deployment)]
        bad = sum((one.bad for one in mine), Counter[str]())
        errors = ", ".join(f"{count / len(mine):.1f} × {what}" for what, count in sorted(bad.items())) or "none"
        times = [one.recovery_s for one in mine]
        print(
            f"| {victim} | {deployment} | {len(mine)} "
            f"| {times[0]:.3f}, {statistics.median(times):.3f}, {max(times):.3f} "
            f"| {max(one.longest_s for one in mine):.3f} | {errors} |"
        )
    wrong = list(problems(found))
    print("\n".join(wrong) if wrong else "\nNo wrong answer, none hung, errors only where a process was killed.")
    return 1 if wrong else 0


def _deploy(workspace: Workspace, folder: Path) -> None:
    (folder / "model").mkdir()
    (folder / "model" / "model.onnx").write_bytes(_adding_one())
    (folder / "code").mkdir()
    (folder / "code" / "score.py").write_text(SCRIPT)
    workspace.models.create("adding", folder / "model")
    workspace.endpoints.create("chaos")
    settings = RequestSettings(max_concurrent_requests_per_instance=CONCURRENT)
    shared = {"endpoint_name": "chaos", "request_settings": settings}
    workspace.endpoints.deploy(
        OnlineDeploymentSpec(name="onnx", model="azureml:adding@latest", instance_count=2, **shared), all_traffic=True
    )
    code = CodeConfiguration(code=str(folder / "code"), scoring_script="score.py")
    workspace.endpoints.deploy(OnlineDeploymentSpec(name="script", code_configuration=code, **shared))


def _adding_one() -> bytes:
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "one"], ["y"])],
        "adding",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2])],
        [helper.make_tensor("one", TensorProto.FLOAT, [1], np.ones(1, np.float32))],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def _kill(folder: Path, victim: str, number: int) -> None:
    if victim == "gateway":
        record = Home(folder).read_server_record()
        assert record is not None
        children = Path(f"/proc/{record.pid}/task/{record.pid}/children").read_text().split()
        pids = [int(pid) for pid in children if b"\0gateway\0" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    else:
        kind = b"score_worker" if victim.endswith("script") else b"penstock.serving.replica"
        pids = sorted(pid for pid in _replicas(Home(folder)) if kind in Path(f"/proc/{pid}/cmdline").read_bytes())
    os.kill(pids[number % len(pids)], signal.SIGKILL)


def _replicas(home: Home) -> list[int]:
    names = [path.name.removeprefix("replica-").removesuffix(".sock") for path in home.sockets.glob("replica-*.sock")]
    marks = {b"PENSTOCK_REPLICA=" + name.encode() for name in names}
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                if marks & set((folder / "environ").read_bytes().split(b"\0")):
                    found.append(int(folder.name))
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
