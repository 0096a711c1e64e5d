"""The gateway's control loop: what is wanted and what runs go into ``rules.replicas``, its answer is applied.

Kill it between any two lines: the next gateway adopts the replicas and reads the wanted state from its copy.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections import Counter
from functools import partial
from typing import Any

from penstock.entities.errors import RefusedError, UnavailableError
from penstock.entities.settings import GatewaySettings
from penstock.home import Home
from penstock.rules.replicas import (
    Decision,
    Key,
    ReplicaState,
    Trouble,
    Verdict,
    Wanted,
    after_end,
    after_ready,
    after_shortage,
    decide,
)
from penstock.serving.autoscaler import Autoscaler
from penstock.serving.backend import Backend
from penstock.serving.batches import batch_size
from penstock.serving.desired import Desired, DesiredDeployment, load_desired, merge_held, save_desired
from penstock.serving.door import ServerDoor
from penstock.serving.ending import End
from penstock.serving.fleet import Fleet, Replica
from penstock.serving.gauges import read_gauges
from penstock.serving.inline import InlineModel, InlineModels
from penstock.serving.links import Link, WorkLink
from penstock.serving.materials import Materials
from penstock.serving.memory_watch import watch_memory
from penstock.serving.metrics import Gauges
from penstock.serving.rounds import go_round
from penstock.serving.routing import Routes
from penstock.serving.steering import Steerings

logger = logging.getLogger(__name__)

TRAFFIC_LOOK_S = 1.0
APPLY_TIMEOUT_S = 10.0
REPORT_RETRY_S = (0.1, 0.2, 0.5, 1.0, 2.0)


class Control:
    """Keeps replicas as the server wants them.

    Parameters
    ----------
    home : Home
        The workspace.
    settings : GatewaySettings
        Time limits.
    routes : Routes
        Kept up to date for the hot path.
    parent_fd : int
        Read end of the pipe whose closing ends every replica.
    spares : int
        ONNX replicas kept waiting while there is an endpoint.
    """

    def __init__(
        self, home: Home, settings: GatewaySettings, routes: Routes, *, parent_fd: int, spares: int = 1
    ) -> None:
        self._settings = settings
        self._routes = routes
        self._copy = home.run / "serving.json"
        self._door = ServerDoor(home)
        self._materials = Materials(home.run / "serving", home.blobs)
        self._fleet = Fleet(
            home,
            self._materials,
            parent_fd=parent_fd,
            spares=spares,
            on_change=self._wake_up,
            on_free=self._on_free,
            on_link_lost=self._on_link_lost,
            on_end=self._on_end,
        )
        self._inline = InlineModels(
            home.run / "inline",
            self._materials,
            log_of=self._fleet.log_of,
            max_bytes=settings.inline_bytes,
            on_change=self._wake_up,
            on_free=self._on_free,
        )
        self._desired = self._latest = Desired()
        self._deployments: dict[Key, DesiredDeployment] = {}
        self._backends: dict[Key, Backend] = {}
        self._routed: dict[Key, tuple[str, ...]] = {}
        self._troubles: dict[tuple[Key, str], Trouble] = {}
        self._hung: Counter[Key] = Counter()
        self._ended: Counter[tuple[Key, str]] = Counter()
        self._log_tails: dict[tuple[Key, str], str] = {}
        self._tidied: set[tuple[Key, str]] | None = None
        self._reports: dict[Key, dict[str, Any]] = {}
        self._reported: dict[Key, dict[str, Any]] = {}
        self._autoscaler = Autoscaler(self._wake_up)
        self._steerings = Steerings(home.run / "traffic", self._steer)
        self._has_steered = asyncio.Event()
        self._memory_ends: dict[tuple[Key, str], str] = {}
        self._may_have_limits = asyncio.Event()
        self._wake = asyncio.Event()
        self._has_reports = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Adopt what runs, serve what is known, then follow the server."""
        loop = asyncio.get_running_loop()
        desired = self._latest = load_desired(self._copy) or Desired()
        await self._fleet.adopt()
        self._want(desired)
        running = {(replica.key, replica.fingerprint) for replica in self._fleet.seen()}
        await self._inline.reopen(self._deployments, running)
        self._apply(self._decide())
        self._door.follow(desired.revision, lambda new: self._receive(loop, new))
        self._tasks = [loop.create_task(self._loop()), loop.create_task(self._report())]
        self._tasks += [
            loop.create_task(go_round(self._watch_traffic, "a look at the traffic")),
            loop.create_task(self._autoscaler.run()),
        ]
        self._tasks.append(
            loop.create_task(watch_memory(self._fleet, lambda: self._deployments, self._may_have_limits))
        )

    async def close(self) -> None:
        """Stop deciding; replicas go on."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._inline.close()
        await self._fleet.close()
        self._steerings.close()

    def gauges(self) -> list[Gauges]:
        """Return what the page of counts says of each deployment now."""
        seen = [*self._fleet.seen(), *self._inline.seen(self._deployments)]
        return list(read_gauges(self._backends, seen, self._steerings, self._ended))

    def _receive(self, loop: asyncio.AbstractEventLoop, desired: Desired) -> None:
        desired = merge_held(desired, self._latest)
        self._latest = desired
        try:
            save_desired(self._copy, desired)
        except OSError as error:
            logger.warning("the wanted state could not be kept for a restart: %s", error)
        if loop.is_closed():
            return
        applied = threading.Event()

        def apply() -> None:
            self._want(desired)
            applied.set()

        loop.call_soon_threadsafe(apply)
        applied.wait(APPLY_TIMEOUT_S)  # the next question says that this revision is applied

    def _want(self, desired: Desired) -> None:
        self._desired = desired
        deployments = {(e.name, d.name): d for e in desired.endpoints for d in e.deployments}
        for key, deployment in deployments.items():
            old = self._deployments.get(key)
            if old is not None and old.revision != deployment.revision:
                self._troubles.pop((key, deployment.fingerprint), None)
            backend = self._backends.get(key)
            if backend is None:
                press = partial(self._autoscaler.press, key)
                backend = self._backends[key] = Backend(f"{key[0]}/{key[1]}", self._on_hung, press)
            scaling = deployment.scaling
            backend.configure(
                is_script=deployment.scoring_script is not None,
                timeout_s=deployment.request_settings.request_timeout_ms / 1000.0,
                max_concurrent=deployment.request_settings.max_concurrent_requests_per_instance,
                instances=deployment.instance_count if scaling is None else scaling.max_instances,
                queue_wait_s=_seconds(deployment.request_settings.max_queue_wait_ms),
                hold_s=self._settings.start_timeout_s if scaling is not None and not scaling.min_instances else 0.0,
            )
        for key in self._backends.keys() - deployments.keys():
            self._backends.pop(key).route(())
            self._routed.pop(key, None)
            self._reported.pop(key, None)
            self._ended = Counter({place: count for place, count in self._ended.items() if place[0] != key})
        self._deployments = deployments
        current = {(key, deployment.fingerprint) for key, deployment in deployments.items()}
        self._troubles = {place: trouble for place, trouble in self._troubles.items() if place in current}
        self._log_tails = {place: tail for place, tail in self._log_tails.items() if place in current}
        running = Counter(one.key for one in self._fleet.seen())
        self._autoscaler.follow(deployments, self._backends, lambda key: running[key])
        self._memory_ends = {place: told for place, told in self._memory_ends.items() if place in current}
        self._may_have_limits.set()
        self._steerings.follow(desired.endpoints, self._backends)
        self._steer()
        self._wake_up()

    def _steer(self) -> None:
        """Let the hot path see the present split, and the reporter look for news."""
        self._routes.replace(self._desired.endpoints, self._backends, self._steerings)
        self._has_steered.set()

    def _wake_up(self) -> None:
        self._wake.set()

    async def _loop(self) -> None:
        while True:
            self._wake.clear()
            try:
                decision = self._decide()
                self._apply(decision)
                timeout_s = None
                if decision.look_again_at is not None:
                    timeout_s = max(0.0, decision.look_again_at / 1000.0 - time.monotonic()) + 0.01
            except Exception:
                logger.exception("a look at the replicas failed")
                timeout_s = 1.0
            try:
                await asyncio.wait_for(self._wake.wait(), timeout_s)
            except TimeoutError:
                continue

    def _decide(self) -> Decision:
        wanted = [
            Wanted(key, deployment.revision, deployment.fingerprint, self._autoscaler.instances(key, deployment))
            for key, deployment in self._deployments.items()
        ]
        return decide(
            wanted,
            [*self._fleet.seen(), *self._inline.seen(self._deployments)],
            self._troubles,
            now=_now_ms(),
            start_timeout_ms=int(self._settings.start_timeout_s * 1000),
            drain_timeout_ms=int(self._settings.drain_timeout_s * 1000),
        )

    def _apply(self, decision: Decision) -> None:
        for key, replica_ids in decision.routes.items():
            self._route(key, replica_ids)
            self._move_in(key, replica_ids)
        for replica_id in decision.drains:
            (self._inline if self._inline.get(replica_id) else self._fleet).drain(replica_id)
        for replica_id in decision.stops:
            self._stop(replica_id)
        for target in decision.starts:
            deployment = self._deployments[target.key]
            workers = deployment.request_settings.max_concurrent_requests_per_instance
            logger.info("starting a replica of %s/%s revision %s", *target.key, target.revision)
            self._fleet.start(target.key, deployment, workers)
        for verdict in decision.verdicts:
            self._judge(verdict)
        if decision.drains or decision.starts:
            self._wake_up()  # what was just changed has deadlines of its own
        self._tidy()
        if self._desired.endpoints:
            self._fleet.keep_spares()
        else:
            self._fleet.end_spares()

    def _tidy(self) -> None:
        """Once only wanted replicas run, remove the folders of those before them."""
        wanted = {(key, deployment.fingerprint) for key, deployment in self._deployments.items()}
        if wanted == self._tidied:
            return
        if all((r.key, r.fingerprint) in wanted and r.state is ReplicaState.READY for r in self._fleet.seen()):
            self._tidied = wanted
            self._inline.keep(self._deployments.values())
            asyncio.get_running_loop().run_in_executor(
                None, self._materials.remove_unused, lambda: list(self._deployments.values())
            )

    def _route(self, key: Key, replica_ids: tuple[str, ...]) -> None:
        if self._routed.get(key, ()) == replica_ids:
            return
        self._routed[key] = replica_ids
        replicas = [one for one in map(self._find, replica_ids) if one is not None]
        self._backends[key].route(
            [link for replica in replicas for link in replica.links],
            direct=next((one.direct for one in replicas if isinstance(one, InlineModel)), None),
            max_batch=batch_size(self._deployments[key].batching, [replica.measured for replica in replicas]),
        )
        for replica in replicas:
            if replica.key is not None:
                place = (replica.key, replica.fingerprint)
                self._troubles[place] = after_ready(self._troubles.get(place, Trouble()))

    def _find(self, replica_id: str) -> Replica | InlineModel | None:
        return self._inline.get(replica_id) or self._fleet.get(replica_id)

    def _move_in(self, key: Key, replica_ids: tuple[str, ...]) -> None:
        """Let a model that one replica has proven come into the gateway, if it may."""
        replica = self._fleet.get(replica_ids[0]) if len(replica_ids) == 1 else None
        deployment = self._deployments[key]
        if replica is not None and replica.fingerprint == deployment.fingerprint and replica.measured:
            self._inline.consider(key, deployment, replica.measured)

    def _stop(self, replica_id: str) -> None:
        if self._inline.get(replica_id) is not None:
            self._inline.stop(replica_id)
            return
        replica = self._fleet.get(replica_id)
        if replica is not None and replica.state is ReplicaState.STARTING:
            replica.message = f"the replica was not ready within {self._settings.start_timeout_s:g} s"
            self._on_end(replica, End.CANNOT_LOAD)
            self._wake_up()
        self._fleet.stop(replica_id)

    def _on_free(self, replica: Replica | InlineModel, link: Link) -> None:
        if replica.state is ReplicaState.DRAINING:
            self._wake_up()
        elif replica.key is not None and (backend := self._backends.get(replica.key)) is not None:
            backend.free(link)

    def _on_link_lost(self, replica: Replica, link: WorkLink) -> None:
        if replica.key is not None and (backend := self._backends.get(replica.key)) is not None:
            backend.forget(link)

    def _on_hung(self, link: Link) -> None:
        replica = self._inline.end_if_hung(link) or self._fleet.end_if_hung(link)
        if replica is not None and replica.key is not None:
            self._hung[replica.key] += 1
            logger.warning("hung replicas of %s/%s ended so far: %s", *replica.key, self._hung[replica.key])

    def _on_end(self, replica: Replica, end: End) -> None:
        assert replica.key is not None
        place = (replica.key, replica.fingerprint)
        now = _now_ms()
        ready_ms = None if replica.ready_at is None else now - int(replica.ready_at * 1000)
        logger.warning("a replica of %s/%s ended: %s", *replica.key, replica.message)
        self._log_tails[place] = replica.log_tail
        self._ended[replica.key, end.name.lower()] += 1
        if end is End.MEMORY:
            self._memory_ends[place] = f"{replica.message} ({self._ended[replica.key, 'memory']} so far)"
        trouble = self._troubles.get(place, Trouble())
        if end is End.SHORTAGE:
            self._troubles[place] = after_shortage(trouble, message=replica.message, now=now)
        else:
            said_failed = end is End.CANNOT_LOAD
            self._troubles[place] = after_end(
                trouble, ready_ms=ready_ms, said_failed=said_failed, message=replica.message, now=now
            )

    def _measured(self, key: Key) -> dict[str, Any]:
        """Return what is known of the replicas that answer: what they measured, where they run, their batches."""
        replicas = [one for one in map(self._find, self._routed.get(key, ())) if one is not None and one.measured]
        if not replicas:
            return {}
        placement = replicas[0].placement if isinstance(replicas[0], InlineModel) else "replica"
        size = batch_size(self._deployments[key].batching, [replica.measured for replica in replicas])
        return {**replicas[0].measured, "placement": placement, "max_batch_size": size}

    def _judge(self, verdict: Verdict) -> None:
        endpoint, name = verdict.key
        place = (verdict.key, self._deployments[verdict.key].fingerprint)
        report: dict[str, Any] = {
            "endpoint": endpoint,
            "deployment": name,
            "revision": verdict.revision,
            "state": "ready" if verdict.is_ready else "failed",
            "message": verdict.message or self._memory_ends.get(place, ""),
            "log_tail": "",
            "measured": self._measured(verdict.key) if verdict.is_ready else {},
        }
        if not verdict.is_ready:
            self._backends[verdict.key].give_up()
            report["log_tail"] = self._log_tails.get(place, "")
        if self._reported.get(verdict.key) != report:
            self._reported[verdict.key] = report
            self._reports[verdict.key] = report
            self._has_reports.set()

    async def _watch_traffic(self) -> None:
        """Look at releases and mirrors, and pass on what is new; the next look is soon, or once there are some."""
        self._has_steered.clear()
        for news in self._steerings.look():
            self._reports[news["endpoint"], ""] = news
            self._has_reports.set()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._has_steered.wait(), TRAFFIC_LOOK_S if self._steerings.is_busy else None)

    async def _report(self) -> None:
        failures = 0
        while True:
            await self._has_reports.wait()
            self._has_reports.clear()
            while self._reports:
                key, report = next(iter(self._reports.items()))
                try:
                    await asyncio.to_thread(self._door.report, report)
                except RefusedError as error:
                    logger.warning("a report of %s/%s is dropped: %s", *key, error)
                except Exception as error:
                    if not isinstance(error, UnavailableError):
                        logger.exception("a report could not be sent")
                    logger.debug("a report waits: %s", error)
                    self._reports[key] = self._reports.pop(key)  # behind the others
                    await asyncio.sleep(REPORT_RETRY_S[min(failures, len(REPORT_RETRY_S) - 1)])
                    failures += 1
                    continue
                failures = 0
                if self._reports.get(key) is report:
                    del self._reports[key]


def _seconds(ms: int | None) -> float | None:
    return None if ms is None else ms / 1000.0


def _now_ms() -> int:
    return int(time.monotonic() * 1000)
