"""A real server for tests: real stores in a folder, uvicorn on loopback in a thread, plain HTTP to it."""

from __future__ import annotations

import http.client
import json
import secrets
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from penstock.access.tokens import Access
from penstock.assets.registry import Registry
from penstock.clock import now_ms
from penstock.compute.environments.select import Environments
from penstock.entities.attempt import Attempt, AttemptState
from penstock.entities.job import CommandJobSpec, Job, JobStatus
from penstock.entities.settings import Settings
from penstock.jobs.attempts import AttemptReports
from penstock.jobs.computes import LocalComputes
from penstock.jobs.logs import LiveLogs
from penstock.jobs.service import Jobs
from penstock.jobs.watch import Feed
from penstock.rules.names import hash_token, new_id, new_token
from penstock.server.asgi import create_app
from penstock.server.readers.pool import Readers
from penstock.server.services import Services
from penstock.serving.connections import Limits, own_limits, protocol_for
from penstock.serving.endpoints import Endpoints
from penstock.serving.joined import JoinedProtocol
from penstock.stores.blobs.local import LocalBlobStore
from penstock.stores.metadata import attempts, jobs, runs
from penstock.stores.metadata.base import MetadataStore
from penstock.stores.metadata.engine.sqlite import SqliteMetadataStore


@dataclass(frozen=True)
class Answer:
    """One HTTP answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class House:
    """A running server and the parts behind it."""

    services: Services
    token: str
    internal_token: str
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(
        self,
        method: str,
        path: str,
        content: Any = None,
        *,
        body: Any = None,
        token: str | None = "",
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send one request; ``token`` is the workspace's own by default, None sends none."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        sent = {"Authorization": f"Bearer {token or self.token}"} if token is not None else {}
        sent.update(headers or {})
        if content is not None:
            body = json.dumps(content).encode()
            sent["Content-Type"] = "application/json"
        try:
            connection.request(method, path, body, sent)
            response = connection.getresponse()
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        finally:
            connection.close()

    def ok(self, method: str, path: str, content: Any = None, **options: Any) -> Any:
        """Send one request that must succeed and return its JSON."""
        answer = self.ask(method, path, content, **options)
        assert answer.status < 300, (answer.status, answer.body)
        return answer.json if answer.body else None

    def submit(self, **changes: Any) -> Job:
        """Submit a job without asking the server."""
        spec = CommandJobSpec.model_validate({"command": "true", **changes})
        return self.services.jobs.submit(spec, actor="ann")

    def begin(self, job: Job, number: int = 1) -> tuple[Attempt, str]:
        """Do to the record what the scheduler does when it starts an attempt; return it and its token."""
        attempt_id = new_id(secrets.token_bytes)

        def operation(connection: Any) -> tuple[Attempt, str]:
            experiment_id = runs.get_run(connection, job.name).experiment_id
            token = self.services.access.issue_attempt_token(connection, attempt_id, job.name, experiment_id)
            attempt = Attempt(attempt_id, job.name, number, AttemptState.STARTING, hash_token(token))
            attempts.create_attempt(connection, attempt)
            jobs.update_job(connection, job.name, status=JobStatus.STARTING, attempt=number)
            return attempt, token

        return self.services.store.write(operation)


def build_house(
    folder: Path,
    *,
    settings: Settings | None = None,
    store: MetadataStore | None = None,
    readers: Callable[[MetadataStore], Readers] = Readers,
) -> House:
    """Compose the parts behind the doors; no agent and no gateway runs. Rows go to a file unless a store is given."""
    store = store or SqliteMetadataStore(folder / "db" / "metadata.db")
    blobs = LocalBlobStore(folder / "blobs")
    feed, logs = Feed(), LiveLogs(folder / "logs")
    token, internal = new_token(secrets.token_bytes), new_token(secrets.token_bytes)
    access = Access(store, workspace_token=token, internal_token=internal, now=now_ms, owner="ann")

    def wake() -> None:
        return None

    services = Services(
        store=store,
        readers=readers(store),
        blobs=blobs,
        access=access,
        jobs=Jobs(store, blobs, logs, feed, clock=now_ms, wake=wake, new_id=partial(new_id, secrets.token_bytes)),
        attempts=AttemptReports(store, blobs, logs, feed, access, clock=now_ms, wake=wake, max_attempts=3),
        assets=Registry(store, now_ms),
        endpoints=Endpoints(
            store,
            environments=Environments(folder / "envs"),
            clock=now_ms,
            notify=feed.notify,
            on_gateway_needed=wake,
            gateway_url="http://127.0.0.1:1",
            logs=folder / "logs",
        ),
        computes=LocalComputes(store, 2),
        feed=feed,
        settings=settings or Settings(),
        now=now_ms,
        new_id=partial(new_id, secrets.token_bytes),
        bound_hosts=("127.0.0.1",),
        scratch=folder,
    )
    return House(services, token, internal)


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, on_stop: Callable[[], None], on_end: Callable[[], None]) -> None:
        super().__init__(config)
        self.on_end = on_end
        self.on_stop = on_stop
        self.is_up = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.is_up.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.on_stop()
        await super().shutdown(sockets)
        self.on_end()


@contextmanager
def serving(
    app: ASGIApp,
    on_stop: Callable[[], None] = lambda: None,
    on_end: Callable[[], None] = lambda: None,
    *,
    limits: Limits | None = None,
) -> Iterator[int]:
    """Serve an app on a free loopback port, in a thread, until the block ends."""
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        app,
        http=protocol_for(limits or own_limits(), JoinedProtocol),
        loop="uvloop",
        ws="none",
        lifespan="off",
        log_config=None,
        timeout_graceful_shutdown=20,
    )
    server = _Server(config, on_stop, on_end)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, name="server")
    thread.start()
    try:
        assert server.is_up.wait(30)
        yield listening.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(30)
        listening.close()


@contextmanager
def open_house(folder: Path, **options: Any) -> Iterator[House]:
    """Run a whole server over a folder until the block ends."""
    house = build_house(folder, **options)
    try:
        with serving(create_app(house.services), house.services.closing.begin, house.services.readers.end) as port:
            yield replace(house, port=port)
    finally:
        house.services.readers.close()
        house.services.store.close()
