"""The replicas of one gateway: starting, adopting, watching and ending their processes.

On the gateway's event loop; what blocks (copying files, fork) runs in threads. It decides nothing: the control
loop says what to start and stop, the fleet tells it what happened.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from penstock.agent.processes import kill_marked
from penstock.compute.limits import cores_of, move_to_cores, own_cores
from penstock.entities.errors import PenstockError
from penstock.home import Home
from penstock.rules.quantities import ResourceLimits, choose_cores, read_limits, show_bytes
from penstock.rules.replicas import Key, ReplicaState, Seen
from penstock.serving import ending, launch, logs
from penstock.serving.desired import DesiredDeployment
from penstock.serving.ending import End
from penstock.serving.links import ControlLink, Link, WorkLink
from penstock.serving.materials import Materials

logger = logging.getLogger(__name__)

HELLO_TIMEOUT_S = 2.0
SHORTAGE_RETRY_S = 1.0
_PREFIX = "replica-"


@dataclass(eq=False, slots=True)
class Replica:
    """One replica; ``deployment`` is None while it waits for its assignment."""

    place: launch.Place
    state: ReplicaState = ReplicaState.STARTING
    since: float = field(default_factory=time.monotonic)
    key: Key | None = None
    fingerprint: str = ""
    revision: int = 0
    process: subprocess.Popen[bytes] | None = None
    pid: int = 0
    pidfd: int | None = None
    control: ControlLink | None = None
    links: list[WorkLink] = field(default_factory=list)
    ready_at: float | None = None
    measured: dict[str, Any] = field(default_factory=dict)
    limits: ResourceLimits | None = None
    cores: frozenset[int] = frozenset()
    log_offset: int = 0
    message: str = ""
    log_tail: str = ""
    is_over: bool = False
    told: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def replica_id(self) -> str:
        """Return the id in its socket's name."""
        return self.place.replica_id

    @property
    def in_flight(self) -> int:
        """Return how many requests it has."""
        return sum(link.call is not None for link in self.links)

    def enter(self, state: ReplicaState) -> None:
        """Change the state and note when."""
        self.state = state
        self.since = time.monotonic()


class Fleet:
    """All replicas.

    Parameters
    ----------
    home : Home
        Where sockets and logs are.
    materials : Materials
        Lays out model and code folders.
    parent_fd : int
        Read end of the pipe whose closing ends every replica.
    spares : int
        How many ONNX replicas wait for an assignment (once asked for with :meth:`keep_spares`).
    on_change : callable
        Called when there may be something to decide.
    on_free, on_link_lost : callable
        Called with a replica and its link that became free, or is gone.
    on_end : callable
        Called with a replica that ended or failed and was not asked to, and why.
    """

    def __init__(
        self,
        home: Home,
        materials: Materials,
        *,
        parent_fd: int,
        spares: int,
        on_change: Callable[[], None],
        on_free: Callable[[Any, Link], None],
        on_link_lost: Callable[[Replica, WorkLink], None],
        on_end: Callable[[Replica, End], None],
    ) -> None:
        self._home = home
        self._materials = materials
        self._parent_fd = parent_fd
        self._wanted_spares = spares
        self._on_change = on_change
        self._on_free = on_free
        self._on_link_lost = on_link_lost
        self._on_end = on_end
        self._replicas: dict[str, Replica] = {}
        self._spares: list[Replica] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def seen(self) -> list[Seen]:
        """Return every assigned replica, oldest first, with times in ms of the monotonic clock."""
        return [
            Seen(r.replica_id, r.key, r.fingerprint, r.state, int(r.since * 1000), r.in_flight, r.message)
            for r in self._replicas.values()
            if r.key is not None and not r.is_over
        ]

    def get(self, replica_id: str) -> Replica | None:
        """Return a replica, None if it is gone."""
        return self._replicas.get(replica_id)

    async def adopt(self) -> None:
        """Connect to the replicas that another gateway started; remove the sockets of dead ones."""
        folder = self._home.sockets
        paths = sorted(folder.glob(f"{_PREFIX}*.sock"), key=lambda path: path.stat().st_mtime)
        await asyncio.gather(*(self._adopt(path) for path in paths))

    def start(self, key: Key, deployment: DesiredDeployment, workers: int) -> None:
        """Start a replica of a deployment; a waiting one takes an ONNX model."""
        log = self.log_of(key)
        spare = self._take_spare() if deployment.is_onnx else None
        replica = spare or Replica(self._new_place(log))
        replica.key, replica.fingerprint, replica.revision = key, deployment.fingerprint, deployment.revision
        replica.place = launch.Place(replica.replica_id, replica.place.socket_path, log)
        replica.enter(ReplicaState.STARTING)
        replica.limits = read_limits(deployment.resources)
        replica.cores = self._choose_cores(replica.limits)
        self._replicas[replica.replica_id] = replica
        self._run(self._start(replica, deployment, workers, spare is not None))

    def keep_spares(self) -> None:
        """Start ONNX replicas that wait for an assignment, until there are as many as wanted."""
        while len(self._spares) < self._wanted_spares:
            replica = Replica(self._new_place(self._home.logs / "replicas.log"))
            self._spares.append(replica)
            self._run(self._start_spare(replica))

    def end_spares(self) -> None:
        """End the replicas that wait; there is nothing to serve."""
        for replica in self._spares[:]:
            self._end(replica)

    def drain(self, replica_id: str) -> None:
        """Send it no more requests; those it has are answered."""
        replica = self._replicas.get(replica_id)
        if replica is not None and replica.state is not ReplicaState.DRAINING:
            replica.enter(ReplicaState.DRAINING)

    def stop(self, replica_id: str) -> None:
        """End a replica's process; nobody is told."""
        replica = self._replicas.pop(replica_id, None)
        if replica is not None:
            self._finish(replica)

    def end_if_hung(self, link: Link) -> Replica | None:
        """End and return the replica of a link that hangs, if all its links do; a new one is started for it."""
        replica = self._replicas.get(link.replica_id)
        if replica is None or replica.state is not ReplicaState.READY or not all(one.is_hung for one in replica.links):
            return None
        replica.message = f"the replica was ended: none of its {len(replica.links)} worker(s) answers any more"
        logs.add_line(replica.place.log, replica.message)
        replica.log_tail = logs.read_tail(replica.place.log, replica.log_offset)
        self._end(replica)
        self._on_end(replica, End.LOST)
        self._on_change()
        return replica

    def limit(self, deployments: Mapping[Key, DesiredDeployment]) -> list[Replica]:
        """Return the replicas whose memory is limited; those that another gateway started are told their limits."""
        for replica in self._replicas.values():
            deployment = None if replica.key is None else deployments.get(replica.key)
            if replica.limits is None and deployment is not None and deployment.fingerprint == replica.fingerprint:
                replica.limits = read_limits(deployment.resources)
                replica.cores = cores_of(replica.pid) if replica.limits.cores is not None else frozenset()
        return [one for one in self._replicas.values() if one.pid and one.limits and one.limits.memory_bytes]

    def end_for_memory(self, replica: Replica, used_bytes: int) -> None:
        """End a replica that holds more memory than its deployment may; another is started for it."""
        assert replica.limits is not None
        assert replica.limits.memory_bytes is not None
        if replica.is_over:
            return
        used, limit = show_bytes(used_bytes), show_bytes(replica.limits.memory_bytes)
        replica.message = f"OutOfMemory: the replica was ended; it held {used} and resources.limits.memory is {limit}"
        logs.add_line(replica.place.log, replica.message)
        replica.log_tail = logs.read_tail(replica.place.log, replica.log_offset)
        self._run(self._kill_tree(replica))  # it would go on growing while it is asked
        self._end(replica)
        if replica.state is not ReplicaState.DRAINING:
            self._on_end(replica, End.MEMORY)
        self._on_change()

    def log_of(self, key: Key) -> Path:
        """Return the log of a deployment's replicas."""
        return self._home.logs / "endpoints" / key[0] / f"{key[1]}.log"

    async def close(self) -> None:
        """Stop watching; replicas go on for the next gateway."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _choose_cores(self, limits: ResourceLimits) -> frozenset[int]:
        """Return the cores of a new replica, those with the fewest others; none where it may use all."""
        if limits.cores is None:
            return frozenset()
        load = Counter(core for replica in self._replicas.values() for core in replica.cores)
        return choose_cores(limits.cores, own_cores(), load)

    def _new_place(self, log: Path) -> launch.Place:
        replica_id = secrets.token_hex(6)
        return launch.Place(replica_id, self._home.socket_path(f"{_PREFIX}{replica_id}"), log)

    def _take_spare(self) -> Replica | None:
        while self._spares:
            spare = self._spares.pop(0)
            if not spare.is_over:
                return spare
        return None

    async def _start(self, replica: Replica, deployment: DesiredDeployment, workers: int, is_spare: bool) -> None:
        assert replica.key is not None
        identity = {
            "replica_id": replica.replica_id,
            "endpoint": replica.key[0],
            "deployment": replica.key[1],
            "revision": replica.revision,
            "fingerprint": replica.fingerprint,
        }
        try:
            replica.log_offset = logs.rotate_log(replica.place.log)
            if deployment.scoring_script is not None:
                await self._launch_script(replica, deployment, identity, workers)
                return
            if deployment.runtime == "mlflow":
                await self._launch_mlflow(replica, deployment, identity, workers)
                return
            if not is_spare:
                await self._launch_onnx(replica)
            elif replica.cores:
                move_to_cores(replica.pid, replica.cores)
            model = await asyncio.to_thread(self._materials.model_path, deployment)
        except (PenstockError, OSError) as error:
            self._fail(replica, str(error), end=End.SHORTAGE if ending.is_shortage(error) else End.CANNOT_LOAD)
            return
        await replica.told.wait()
        if replica.control is not None and not replica.is_over:
            replica.control.load(
                {
                    "identity": identity,
                    "model": str(model),
                    "preprocessing": deployment.preprocessing,
                    "postprocessing": deployment.postprocessing,
                    "resources": deployment.resources,
                    "batching": deployment.batching.enabled is True,
                    "workers": min(workers, len(replica.cores) or os.cpu_count() or 1),
                    "log": str(replica.place.log),
                }
            )

    async def _launch_script(
        self, replica: Replica, deployment: DesiredDeployment, identity: dict[str, Any], workers: int
    ) -> None:
        model = await asyncio.to_thread(self._materials.model_folder, deployment) if deployment.model_tree else None
        code = await asyncio.to_thread(self._materials.code_folder, deployment)
        launcher = partial(
            launch.launch_script,
            replica.place,
            self._parent_fd,
            deployment,
            code=code,
            model=model,
            identity=identity,
            workers=workers,
            cores=replica.cores,
        )
        await self._spawn(replica, launcher)

    async def _launch_mlflow(
        self, replica: Replica, deployment: DesiredDeployment, identity: dict[str, Any], workers: int
    ) -> None:
        model = await asyncio.to_thread(self._materials.model_path, deployment)
        launcher = partial(
            launch.launch_mlflow,
            replica.place,
            self._parent_fd,
            deployment,
            model=model,
            identity=identity,
            workers=workers,
            cores=replica.cores,
        )
        await self._spawn(replica, launcher)

    async def _launch_onnx(self, replica: Replica) -> None:
        await self._spawn(replica, partial(launch.launch_onnx, replica.place, self._parent_fd, replica.cores))

    async def _spawn(self, replica: Replica, launcher: Callable[[], subprocess.Popen[bytes]]) -> None:
        """Start a replica's process and connect to it, unless it was stopped before it had one."""
        if replica.is_over:
            return
        replica.process = await asyncio.to_thread(launcher)
        replica.pid = replica.process.pid
        if replica.is_over:
            replica.place.socket_path.unlink(missing_ok=True)
            await self._kill(replica)
            return
        await self._connect(replica)

    async def _start_spare(self, replica: Replica) -> None:
        try:
            await self._launch_onnx(replica)
        except OSError as error:
            logger.warning("no spare replica could be started: %s", error)
            self._end(replica)

    async def _connect(self, replica: Replica) -> None:
        loop = asyncio.get_running_loop()
        control = ControlLink(partial(self._on_state, replica), partial(self._on_lost, replica))
        await loop.create_unix_connection(lambda: control, str(replica.place.socket_path))
        replica.control = control

    async def _adopt(self, path: Path) -> None:
        replica_id = path.name.removeprefix(_PREFIX).removesuffix(".sock")
        replica = Replica(launch.Place(replica_id, path, self._home.logs / "replicas.log"))
        try:
            await self._connect(replica)
            await asyncio.wait_for(replica.told.wait(), HELLO_TIMEOUT_S)
        except TimeoutError:
            logger.warning("replica %s does not answer, ending it", replica_id)
            await asyncio.to_thread(kill_marked, replica_id, launch.MARK)
            self._end(replica)
        except (ConnectionError, FileNotFoundError):
            path.unlink(missing_ok=True)
        except OSError as error:
            logger.warning("replica %s cannot be reached, ending it: %s", replica_id, error)
            await asyncio.to_thread(kill_marked, replica_id, launch.MARK)
            self._end(replica)

    def _on_state(self, replica: Replica, state: dict[str, Any]) -> None:
        replica.told.set()
        if replica.is_over:
            return
        self._know(replica, state)
        kind = state["state"]
        if kind == "ready" and replica.ready_at is None:
            replica.ready_at = time.monotonic()
            replica.measured = state.get("measured") or {}
            self._run(self._open_links(replica, int(state["workers"])))
        elif kind == "failed":
            self._fail(replica, state["message"], state.get("traceback", ""))
        elif kind == "idle" and replica.key is None and replica not in self._spares:
            self._spares.append(replica)

    def _know(self, replica: Replica, state: dict[str, Any]) -> None:
        """Learn who an adopted replica is."""
        if not replica.pid:
            replica.pid = int(state["pid"])
            with contextlib.suppress(OSError):
                replica.pidfd = os.pidfd_open(replica.pid)
        identity = state["identity"]
        if identity and replica.key is None:
            replica.key = (identity["endpoint"], identity["deployment"])
            replica.fingerprint, replica.revision = identity["fingerprint"], identity["revision"]
            replica.place = launch.Place(replica.replica_id, replica.place.socket_path, self.log_of(replica.key))
            self._replicas[replica.replica_id] = replica

    async def _open_links(self, replica: Replica, workers: int) -> None:
        loop = asyncio.get_running_loop()
        while len(replica.links) < workers and not replica.is_over:
            link = WorkLink(replica.replica_id, partial(self._freed, replica), partial(self._on_link_lost, replica))
            try:
                await loop.create_unix_connection(lambda link=link: link, str(replica.place.socket_path))  # type: ignore[misc]  # a default binds the loop variable
            except OSError as error:
                if not ending.is_shortage(error):
                    return  # it ended; the control link tells
                logger.warning("replica %s waits for its connections: %s", replica.replica_id, error)
                await asyncio.sleep(SHORTAGE_RETRY_S)
                continue
            replica.links.append(link)
        if replica.is_over:
            return
        if replica.state is ReplicaState.STARTING:
            replica.enter(ReplicaState.READY)
        self._on_change()

    def _freed(self, replica: Replica, link: Link) -> None:
        if replica.state is ReplicaState.DRAINING:
            self._on_change()
        else:
            self._on_free(replica, link)

    def _fail(self, replica: Replica, message: str, log_tail: str = "", *, end: End = End.CANNOT_LOAD) -> None:
        if replica.is_over:
            return
        replica.message = message
        replica.log_tail = log_tail or logs.read_tail(replica.place.log, replica.log_offset)
        self._end(replica)
        if replica.key is not None and replica.state is not ReplicaState.DRAINING:
            self._on_end(replica, end)
        self._on_change()

    def _on_lost(self, replica: Replica) -> None:
        if replica.is_over:
            return
        self._end(replica)
        self._run(self._mourn(replica))

    async def _mourn(self, replica: Replica) -> None:
        """Find out how a replica ended that nobody had asked to, and tell."""
        status = None
        if replica.process is not None:
            replica.process.kill()
            status = await asyncio.to_thread(replica.process.wait)
        replica.message = f"the replica ended {ending.explain(status)}"
        replica.log_tail = logs.read_tail(replica.place.log, replica.log_offset)
        if replica.key is None:
            logger.warning("a spare replica ended %s", ending.explain(status))
        elif replica.state is not ReplicaState.DRAINING:
            self._on_end(replica, End.LOST)
        self._on_change()

    def _end(self, replica: Replica) -> None:
        self._replicas.pop(replica.replica_id, None)
        if replica in self._spares:
            self._spares.remove(replica)
        self._finish(replica)

    def _finish(self, replica: Replica) -> None:
        if replica.is_over:
            return
        replica.is_over = True
        replica.told.set()
        for link in replica.links:
            link.close()
        replica.place.socket_path.unlink(missing_ok=True)
        self._run(self._kill(replica))

    async def _kill(self, replica: Replica) -> None:
        if replica.process is not None:
            await ending.end_child(replica.process)
        elif replica.pid:
            await ending.end_adopted(replica.pid, replica.pidfd)
        if replica.pid:
            await self._kill_tree(replica)  # what it started may outlive it
        if replica.control is not None:
            replica.control.close()

    async def _kill_tree(self, replica: Replica) -> None:
        await asyncio.to_thread(kill_marked, replica.replica_id, launch.MARK)

    def _run(self, work: Any) -> None:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("a step of a replica failed", exc_info=error)
