"""A real gateway process with real replicas; only the server's internal door is played here, by a few lines of HTTP."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper

import penstock
from penstock.home import Home, ServerRecord, boot_id, process_start, write_private

KEY = "key-of-the-tests"
INTERNAL_TOKEN = "internal-token-of-the-tests"
PATIENCE_S = 60.0

_GATEWAY = """
import json, resource, socket, sys
from pathlib import Path
from penstock.entities.settings import GatewaySettings
from penstock.home import Home
from penstock.serving.gateway import serve_gateway
listening_fd, parent_fd, spares = int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[5])
if len(sys.argv) > 7:
    resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[7]), int(sys.argv[7])))
settings = GatewaySettings(
    max_body_bytes=1 << 20, drain_timeout_s=20.0, start_timeout_s=float(sys.argv[4]), **json.loads(sys.argv[6])
)
home = Home(Path(sys.argv[1]))
sys.exit(serve_gateway(home, settings, socket.socket(fileno=listening_fd), parent_fd=parent_fd, spares=spares))
"""


class DoorStandIn:
    """The server's internal door: hands out what a test wants served, keeps what the gateway reports."""

    def __init__(self, home: Home) -> None:
        self.changed = threading.Condition()
        self.endpoints: dict[str, dict[str, Any]] = {}
        self.revision = 0
        self.reports: list[dict[str, Any]] = []
        self.news: list[dict[str, Any]] = []
        self.refusals: dict[str, int] = {}  # by deployment: the status its reports get
        self._home = home
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                assert self.headers["Authorization"] == f"Bearer {INTERNAL_TOKEN}"
                query = dict(part.split("=") for part in self.path.partition("?")[2].split("&"))
                self._send(stand_in.desired(int(query["after"]), float(query["wait"])))

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with stand_in.changed:
                    (stand_in.reports if self.path.endswith("/status") else stand_in.news).append(body)
                    stand_in.changed.notify_all()
                self._send({}, stand_in.refusals.get(body.get("deployment", ""), 200))

            def _send(self, value: Any, status: int = 200) -> None:
                content = json.dumps(value).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            def handle_error(self, request: Any, client_address: Any) -> None:
                """Say nothing: gateways are killed here while they wait."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        url = f"http://127.0.0.1:{self._server.server_address[1]}"
        home.write_server_record(
            ServerRecord(os.getpid(), process_start(os.getpid()), boot_id(), url, "http://gateway", "test", 0)
        )

    def desired(self, after: int, wait_s: float) -> dict[str, Any]:
        with self.changed:
            self.changed.wait_for(lambda: self.revision > after, wait_s)
            return {"revision": self.revision, "endpoints": list(self.endpoints.values())}

    def change(self, endpoint: str, deployment: dict[str, Any] | None = None, **fields: Any) -> None:
        """Set an endpoint's fields; a deployment is added or replaced by name."""
        with self.changed:
            entry = self.endpoints.setdefault(
                endpoint,
                {
                    "name": endpoint,
                    "keys": [hashlib.sha256(KEY.encode()).hexdigest()],
                    "traffic": {},
                    "deployments": [],
                },
            )
            entry.update(fields)
            if deployment is not None:
                others = [d for d in entry["deployments"] if d["name"] != deployment["name"]]
                entry["deployments"] = [*others, deployment]
            self.revision += 1
            self.changed.notify_all()

    def remove(self, endpoint: str) -> None:
        with self.changed:
            del self.endpoints[endpoint]
            self.revision += 1
            self.changed.notify_all()

    def wait_report(self, deployment: str, revision: int, count: int = 1) -> dict[str, Any]:
        """Wait for the gateway's report on a revision."""

        def found() -> list[dict[str, Any]]:
            return [r for r in self.reports if (r["deployment"], r["revision"]) == (deployment, revision)]

        with self.changed:
            assert self.changed.wait_for(lambda: len(found()) >= count, PATIENCE_S), self.reports
            return found()[count - 1]

    def wait_news(self, is_it: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Wait for news of an endpoint's traffic that are what a test looks for."""
        with self.changed:
            assert self.changed.wait_for(lambda: any(map(is_it, self.news)), PATIENCE_S), self.news[-3:]
            return next(filter(is_it, self.news))

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class Answer:
    """What a client got."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        self.body = response.read()

    @property
    def data(self) -> Any:
        return json.loads(self.body)


class Bench:
    """A workspace folder, the door's stand-in, and gateways started on it."""

    def __init__(self, root: Path) -> None:
        self.home = Home(root)
        self.home.run.mkdir(parents=True)
        self.home.blobs.mkdir()
        self.home.secrets.mkdir(mode=0o700)
        write_private(self.home.internal_token_file, INTERNAL_TOKEN)
        self.door = DoorStandIn(self.home)
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port = self.listening.getsockname()[1]
        self.pipe_read, self.pipe_write = os.pipe()
        self.gateways: list[subprocess.Popen[bytes]] = []
        self.gateway: subprocess.Popen[bytes]

    def start_gateway(
        self,
        *,
        start_timeout_s: float = 120.0,
        spares: int = 0,
        open_files: int = 0,
        **settings: int,
    ) -> subprocess.Popen[bytes]:
        source = str(Path(penstock.__file__).parent.parent)
        arguments = [str(self.home.root), str(self.listening.fileno()), str(self.pipe_read)]
        arguments += [str(start_timeout_s), str(spares), json.dumps(settings)]
        arguments += [str(open_files)] if open_files else []
        with (self.home.root / "gateway.log").open("ab") as log:
            gateway = subprocess.Popen(
                [sys.executable, "-c", _GATEWAY, *arguments],
                env={**os.environ, "PYTHONPATH": source},
                pass_fds=(self.listening.fileno(), self.pipe_read),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.gateways.append(gateway)
        return gateway

    def put_blob(self, content: bytes) -> dict[str, Any]:
        digest = hashlib.sha256(content).hexdigest()
        path = self.home.blobs / digest[:2] / digest
        path.parent.mkdir(exist_ok=True)
        if not path.exists():
            path.write_bytes(content)
            path.chmod(0o444)
        return {"digest": digest, "size": len(content)}

    def files(self, **contents: bytes | str) -> list[dict[str, Any]]:
        """Store files; ``score_py`` means ``score.py``."""
        return [
            {
                "path": name.replace("_", "."),
                **self.put_blob(content.encode() if isinstance(content, str) else content),
            }
            for name, content in contents.items()
        ]

    def adding(self, amount: float, *, name: str = "blue", revision: int = 1, **fields: Any) -> dict[str, Any]:
        """Return a deployment of a model that adds a number."""
        return {
            "name": name,
            "revision": revision,
            "model_ref": f"azureml:adding:{amount:g}",
            "model_tree": self.files(model_onnx=adding_model(amount)),
            **fields,
        }

    def script(self, code: str, *, name: str = "blue", revision: int = 1, **fields: Any) -> dict[str, Any]:
        """Return a deployment of a score.py."""
        return {
            "name": name,
            "revision": revision,
            "code": self.files(score_py=code),
            "scoring_script": "score.py",
            "interpreter": sys.executable,
            **fields,
        }

    def deploy(self, endpoint: str, deployment: dict[str, Any]) -> dict[str, Any]:
        """Deploy with all traffic and return the gateway's report."""
        self.door.change(endpoint, deployment, traffic={deployment["name"]: 100})
        return self.door.wait_report(deployment["name"], deployment["revision"])

    def deploy_quietly(self, deployment: dict[str, Any], endpoint: str = "sums") -> dict[str, Any]:
        """Deploy without a change of traffic and return the gateway's report."""
        self.door.change(endpoint, deployment)
        return self.door.wait_report(deployment["name"], deployment["revision"])

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)

    def ask(
        self,
        path: str = "/endpoints/sums/score",
        body: bytes | str | dict[str, Any] | None = None,
        *,
        method: str = "POST",
        key: str | None = KEY,
        connection: http.client.HTTPConnection | None = None,
        **headers: str,
    ) -> Answer:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if key is not None:
            sent["Authorization"] = f"Bearer {key}"
        content = json.dumps(body) if isinstance(body, dict) else body
        used = connection or self.connect()
        try:
            used.request(method, path, content, sent)
            return Answer(used.getresponse())
        finally:
            if connection is None:
                used.close()

    def replicas(self) -> list[int]:
        """Return the pids of running replicas of this workspace."""
        names = {path.name.removeprefix("replica-").removesuffix(".sock") for path in self.sockets()}
        found = []
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit():
                with contextlib.suppress(OSError):
                    environ = (folder / "environ").read_bytes().split(b"\0")
                    if any(b"PENSTOCK_REPLICA=" + name.encode() in environ for name in names):
                        found.append(int(folder.name))
        return sorted(found)

    def kill(self, pid: int) -> None:
        os.kill(pid, signal.SIGKILL)

    def pause(self, pid: int) -> None:
        os.kill(pid, signal.SIGSTOP)

    def running(self, pids: list[int]) -> list[int]:
        return [pid for pid in pids if process_start(pid)]

    def end_supervisor(self) -> None:
        """Close the supervisor's end of the pipe, as its death does."""
        if self.pipe_write >= 0:
            os.close(self.pipe_write)
            self.pipe_write = -1

    def sockets(self) -> list[Path]:
        return list(self.home.sockets.glob("replica-*.sock"))

    def log(self) -> str:
        return (self.home.root / "gateway.log").read_text()

    def close(self) -> None:
        self.end_supervisor()
        for gateway in self.gateways:
            if gateway.poll() is None:
                gateway.send_signal(signal.SIGKILL)
            gateway.wait()
        os.close(self.pipe_read)
        self.listening.close()
        self.door.close()


def adding_model(amount: float) -> bytes:
    """Return an ONNX model: y = x + amount, for x of shape [n, 2]."""
    node = helper.make_node("Add", ["x", "amount"], ["y"])
    graph = helper.make_graph(
        [node],
        "adding",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2])],
        [helper.make_tensor("amount", TensorProto.FLOAT, [1], [amount])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    workbench = Bench(tmp_path / "lab")
    yield workbench
    workbench.close()


@pytest.fixture
def eventually() -> Callable[[Callable[[], bool]], None]:
    """Return a function that waits for something outside this process, which nothing announces."""

    def wait(is_so: Callable[[], bool]) -> None:
        pause = threading.Event()
        for _ in range(int(PATIENCE_S / 0.02)):
            if is_so():
                return
            pause.wait(0.02)
        raise AssertionError("it did not come to be")

    return wait
