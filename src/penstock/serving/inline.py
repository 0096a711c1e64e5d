"""ONNX models inside the gateway: a request costs no other process, and a quick model not even a thread.

A model comes here only after a replica has loaded, warmed up and measured it, so a file that crashes onnxruntime never
gets this far. Quick models answer on the event loop, others in threads of their own, as many as their deployment may
run requests and the machine has cores, with one session. To the control loop such a model is a replica that is ready.

onnxruntime and numpy are imported with the first model, in a thread.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import mmap
import os
import queue
import re
import secrets
import threading
import time
import traceback
from collections.abc import Callable, Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from penstock.entities.errors import PenstockError
from penstock.plugins import load_module
from penstock.rules.replicas import Key, ReplicaState, Seen
from penstock.serving import logs
from penstock.serving.desired import DesiredDeployment
from penstock.serving.links import Link
from penstock.serving.materials import Materials
from penstock.serving.parcels import Parcel, Reply
from penstock.serving.proofs import Marks, Proofs

logger = logging.getLogger(__name__)

LOOP_RUN_MS = 0.3
LOOP_BODY_BYTES = 16 * 1024
LONG_S = 0.005
MOST_LONG = 10
LONG_SHARE = 0.01
REOPEN_S = 20.0
CPU = "CPUExecutionProvider"
FAILED: Reply = (b'{"status":500}', b'{"message": "the model failed; see its log"}')
_LOOP_OPERATOR = re.compile(rb"\x22\x04Loop")
"""The operator ``Loop`` in a serialized graph: how long such a model runs depends on what it is sent."""


class InlineLink(Link):
    """A thread of this process that runs one model.

    Parameters
    ----------
    marks : mmap
        Its byte ``number`` is one while the model runs.
    """

    def __init__(
        self,
        replica_id: str,
        answer: Callable[[bytes, bytes], Reply],
        marks: mmap.mmap,
        number: int,
        on_free: Callable[[Link], None],
    ) -> None:
        super().__init__(replica_id, on_free)
        self._answer = answer
        self._marks = marks
        self._number = number
        self._loop = asyncio.get_running_loop()
        self._work: queue.SimpleQueue[Parcel | None] = queue.SimpleQueue()
        threading.Thread(target=self._run, name=f"inline-{replica_id}-{number}", daemon=True).start()

    def close(self) -> None:
        """End the thread once the model has answered what it has."""
        self._work.put(None)

    def _send(self, parcel: Parcel) -> None:
        self._work.put(parcel)

    def _run(self) -> None:
        marks, number = self._marks, self._number
        while (parcel := self._work.get()) is not None:
            marks[number] = 1
            reply = self._answer(*parcel.pack())
            marks[number] = 0
            try:
                self._loop.call_soon_threadsafe(self._take, reply)
            except RuntimeError:
                return  # the loop has ended

    def _take(self, reply: Reply) -> None:
        parcel = self._end_call()
        if parcel is not None:
            parcel.settle(*reply)
        self._on_free(self)


class InlineModel:
    """One model in the gateway; to the control loop it is a replica.

    Parameters
    ----------
    answer : callable
        Turns a request's frame into its response's.
    marks : Marks
        A byte for the event loop and one a worker.
    is_quick : bool
        Whether it may answer on the event loop.
    """

    def __init__(
        self,
        key: Key,
        deployment: DesiredDeployment,
        *,
        answer: Callable[[bytes, bytes], Reply],
        measured: Mapping[str, Any],
        marks: Marks,
        workers: int,
        is_quick: bool,
        on_free: Callable[[InlineModel, Link], None],
    ) -> None:
        self.replica_id = f"inline-{secrets.token_hex(6)}"
        self.key = key
        self.fingerprint = deployment.fingerprint
        self.size = model_bytes(deployment)
        self.measured = measured
        self.state = ReplicaState.READY
        self.is_quick = is_quick
        self._answer = answer
        self._marks = marks.bytes
        self._marks_on_disk = marks
        self._since_ms = int(time.monotonic() * 1000)
        self._runs = 0
        self._long_runs = 0
        self.links = [
            InlineLink(self.replica_id, answer, marks.bytes, number, partial(on_free, self))
            for number in range(1, workers + 1)
        ]

    @property
    def placement(self) -> str:
        """Return where it runs, in words."""
        return "gateway, on the event loop" if self.is_quick else f"gateway, {len(self.links)} threads"

    def seen(self, *, is_wanted: bool) -> Seen:
        """Return what the control loop decides on; one that belongs into replicas by now counts as an old one."""
        in_flight = sum(link.call is not None for link in self.links)
        fingerprint = self.fingerprint if is_wanted else ""
        return Seen(self.replica_id, self.key, fingerprint, self.state, self._since_ms, in_flight, is_inline=True)

    def drain(self) -> None:
        """Note that it gets no more requests."""
        if self.state is not ReplicaState.DRAINING:
            self.state = ReplicaState.DRAINING
            self._since_ms = int(time.monotonic() * 1000)

    def direct(self, meta: bytes, body: bytes) -> Reply | None:
        """Answer a small request at once, on the event loop; None for one that is for a thread.

        So is one that came compressed: nobody knows how large it becomes.
        """
        if not self.is_quick or len(body) > LOOP_BODY_BYTES or b'"content-encoding"' in meta:
            return None
        marks = self._marks
        began = time.perf_counter()
        marks[0] = 1
        reply = self._answer(meta, body)
        marks[0] = 0
        self._runs += 1
        if time.perf_counter() - began > LONG_S:
            self._note_long_run()
        return reply

    def close(self) -> None:
        """End its threads once they have answered what they have, and let go of them.

        They refer to this model. What was made before :func:`gc.freeze` is freed by its count of references alone, so a
        cycle would keep the model's session for good.
        """
        links, self.links = self.links, []
        for link in links:
            link.close()
        self._marks_on_disk.remove()

    def _note_long_run(self) -> None:
        """Take a model off the event loop whose requests hold it up."""
        self._long_runs += 1
        if self._long_runs >= MOST_LONG and self._long_runs > LONG_SHARE * self._runs:
            self.is_quick = False
            logger.warning("%s/%s is too slow for the event loop and goes on in threads", *self.key)


class InlineModels:
    """All models in the gateway. On its event loop only; what blocks runs in threads.

    Parameters
    ----------
    folder : Path
        For :class:`Proofs`.
    log_of : callable
        Returns the log of a deployment.
    max_bytes : int
        So large the model files in the gateway may be, all together.
    on_change : callable
        Called when there may be something to decide.
    on_free : callable
        Called with a model and its link that became free.
    """

    def __init__(
        self,
        folder: Path,
        materials: Materials,
        *,
        log_of: Callable[[Key], Path],
        max_bytes: int,
        on_change: Callable[[], None],
        on_free: Callable[[Any, Link], None],
    ) -> None:
        self._proofs = Proofs(folder)
        self._materials = materials
        self._log_of = log_of
        self._max_bytes = max_bytes
        self._on_change = on_change
        self._on_free = on_free
        self._models: dict[str, InlineModel] = {}
        self._loading: dict[tuple[Key, str], int] = {}
        self._refused: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def reopen(self, deployments: Mapping[Key, DesiredDeployment], running: Collection[tuple[Key, str]]) -> None:
        """Open again what ran in the gateway before, unless a replica has it or it may be what ended that gateway."""
        suspects = await asyncio.to_thread(self._proofs.learn)
        if suspects:
            logger.warning("%s model(s) ran when the last gateway died; they go on in replicas", len(suspects))
        for key, deployment in deployments.items():
            if (key, deployment.fingerprint) not in running:
                measured = self._proofs.find(deployment.fingerprint)
                if measured is not None:
                    self.consider(key, deployment, measured)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=REOPEN_S)

    def seen(self, deployments: Mapping[Key, DesiredDeployment]) -> list[Seen]:
        """Return every model as the control loop sees a replica."""
        return [
            model.seen(is_wanted=(wanted := deployments.get(model.key)) is not None and may_be_inline(wanted))
            for model in self._models.values()
        ]

    def get(self, replica_id: str) -> InlineModel | None:
        """Return a model, None if it is gone."""
        return self._models.get(replica_id)

    def consider(self, key: Key, deployment: DesiredDeployment, measured: Mapping[str, Any]) -> None:
        """Begin to load a model that a replica has proven, if it fits."""
        fingerprint = deployment.fingerprint
        if (key, fingerprint) in self._loading or fingerprint in self._refused:
            return
        if any(
            (m.key, m.fingerprint, m.state) == (key, fingerprint, ReplicaState.READY) for m in self._models.values()
        ):
            return
        if not may_be_inline(deployment) or list(measured.get("providers") or [CPU]) != [CPU]:
            return
        size = model_bytes(deployment)
        present = sum(m.size for m in self._models.values()) + sum(self._loading.values())
        if present + size > self._max_bytes:
            return
        if reason := self._proofs.why_barred(fingerprint):
            self._refused.add(fingerprint)
            logger.warning("%s/%s stays in a replica: %s", *key, reason)
            return
        self._loading[key, fingerprint] = size
        task = asyncio.get_running_loop().create_task(self._open(key, deployment, measured))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def drain(self, replica_id: str) -> None:
        """Send it no more requests; those it has are answered."""
        self._models[replica_id].drain()

    def stop(self, replica_id: str) -> None:
        """Forget a model; its memory goes with it."""
        model = self._models.pop(replica_id, None)
        if model is not None:
            model.close()
            self._on_change()  # another may have room now

    def end_if_hung(self, link: Link) -> InlineModel | None:
        """Give up and return the model of a link that hangs, if all its links do; a replica is started for it.

        Its threads cannot be ended; they end with the gateway, or when the model answers after all.
        """
        model = self._models.get(link.replica_id)
        if model is None or model.state is not ReplicaState.READY or not all(one.is_hung for one in model.links):
            return None
        self._bar(model, f"none of its {len(model.links)} thread(s) in the gateway answers any more")
        self.stop(model.replica_id)
        self._on_change()
        return model

    def keep(self, deployments: Collection[DesiredDeployment]) -> None:
        """Forget what is known of models that nothing wants any more."""
        self._proofs.keep({deployment.fingerprint for deployment in deployments})

    async def close(self) -> None:
        """End all of it in order."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for replica_id in list(self._models):
            self.stop(replica_id)

    def _bar(self, model: InlineModel, reason: str) -> None:
        self._refused.add(model.fingerprint)
        self._proofs.bar(model.fingerprint, reason)
        logs.add_line(self._log_of(model.key), reason)
        logger.warning("%s/%s goes back to a replica: %s", *model.key, reason)

    async def _open(self, key: Key, deployment: DesiredDeployment, measured: Mapping[str, Any]) -> None:
        log = self._log_of(key)
        try:
            answer, found = await asyncio.to_thread(self._load, deployment, log)
            await asyncio.to_thread(self._proofs.prove, deployment.fingerprint, measured)
            marks = await asyncio.to_thread(self._proofs.open_marks, deployment.fingerprint, 1 + (os.cpu_count() or 1))
        except (PenstockError, OSError, MemoryError) as error:
            self._refused.add(deployment.fingerprint)
            logger.warning("%s/%s stays in a replica: %s", *key, error)
            return
        finally:
            del self._loading[key, deployment.fingerprint]
        concurrent = deployment.request_settings.max_concurrent_requests_per_instance
        model = InlineModel(
            key,
            deployment,
            answer=answer,
            measured=measured,
            marks=marks,
            workers=min(concurrent, os.cpu_count() or 1),
            is_quick=found["may_be_quick"] and _is_quick(measured, found),
            on_free=self._on_free,
        )
        self._models[model.replica_id] = model
        gc.freeze()  # what was imported and loaded stays: looking through it would hold up requests
        logger.info("%s/%s moved into the gateway (%s)", *key, model.placement)
        logs.add_line(log, f"the model runs in the {model.placement}")
        self._on_change()

    def _load(self, deployment: DesiredDeployment, log: Path) -> tuple[Callable[[bytes, bytes], Reply], dict[str, Any]]:
        path = self._materials.model_path(deployment)
        with self._proofs.loading(deployment.fingerprint):
            replica = load_module("penstock.serving.replica")
            runtime = replica.load_runtime(assignment(deployment, path))
        complain = partial(logs.add_line, log)
        found = replica.measured(runtime)
        found["may_be_quick"] = not runtime.contract.takes_images and not _has_loops(runtime.file)
        return _guarded(replica.answerer(runtime, complain), complain), found


def assignment(deployment: DesiredDeployment, path: Path) -> dict[str, Any]:
    """Return what ``replica.load_runtime`` needs to load a deployment's model."""
    return {
        "model": str(path),
        "preprocessing": deployment.preprocessing,
        "postprocessing": deployment.postprocessing,
        "resources": deployment.resources,
        "batching": deployment.batching.enabled is True,
    }


def may_be_inline(deployment: DesiredDeployment) -> bool:
    """Return whether a deployment lets its model run in the gateway: no code, one instance, no resources of its own."""
    is_alone = deployment.instance_count == 1 and deployment.scaling is None
    return deployment.is_onnx and is_alone and not deployment.resources


def model_bytes(deployment: DesiredDeployment) -> int:
    """Return how large a deployment's model is."""
    return sum(entry.size for entry in deployment.model_tree)


def _is_quick(*measurements: Mapping[str, Any]) -> bool:
    times = [one["run_ms"] for one in measurements if one.get("run_ms") is not None]
    return bool(times) and min(times) < LOOP_RUN_MS


def _has_loops(file: Path) -> bool:
    try:
        with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return _LOOP_OPERATOR.search(content) is not None
    except (OSError, ValueError):
        return True


def _guarded(
    answer: Callable[[bytes, bytes], Reply], complain: Callable[[str], None]
) -> Callable[[bytes, bytes], Reply]:
    """Return ``answer`` with its exceptions in the log, and an answer that says so."""

    def answer_always(meta: bytes, body: bytes) -> Reply:
        try:
            return answer(meta, body)
        except Exception:
            complain(traceback.format_exc())
            return FAILED

    return answer_always
