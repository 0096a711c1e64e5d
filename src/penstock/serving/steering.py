"""Where an endpoint's requests go, and what became of them: its split, its release, its copies.

One :class:`Steering` per endpoint is what the hot path asks; :class:`Steerings` keeps them in step with what the server
wants, and tells it what was decided. Only requests that the split chose are counted: whoever names a deployment in a
header has chosen by other rules than chance.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from penstock.rules.rollout import Counts
from penstock.rules.traffic import LowDiscrepancyPicker
from penstock.serving import codes
from penstock.serving.backend import Backend
from penstock.serving.desired import DesiredEndpoint
from penstock.serving.mirror import Mirror
from penstock.serving.parcels import Reply
from penstock.serving.rollout_guard import GuardedPicker, RolloutGuard, counts_of
from penstock.serving.tally import Tally

HISTORY_BLOCKS = 21
"""Of 500 requests each: between 10,000 and 10,500 requests of a deployment are remembered."""


class Steering:
    """One endpoint's split; on the event loop only.

    Parameters
    ----------
    name : str
        The endpoint.
    folder : Path
        Where counts and the release's state are kept.
    on_change : callable
        Called when a release changed the split.
    """

    def __init__(self, name: str, folder: Path, on_change: Callable[[], None]) -> None:
        self.name = name
        self.traffic: dict[str, int] = {}
        self.mirror: Mirror | None = None
        self.guard: RolloutGuard | None = None
        self._folder = folder
        self._on_change = on_change
        self._picker: LowDiscrepancyPicker | GuardedPicker = LowDiscrepancyPicker({})
        self._picked: str | None = None
        self._histories: dict[str, tuple[str, Tally]] = {}
        self._tallies: dict[str, Tally] = {}
        self._by_backend: dict[Backend, Tally] = {}

    @property
    def is_plain(self) -> bool:
        """Return whether there is neither a release nor a mirror, so that requests need no more than be counted."""
        return self.guard is None and self.mirror is None

    @property
    def only(self) -> str | None:
        """Return the one deployment that gets all requests, None where they are split, or a release is under way."""
        return self._picker.only if isinstance(self._picker, LowDiscrepancyPicker) else None

    def count(self, backend: Backend) -> None:
        """Count a request that was answered well and at once, without its latency."""
        history = self._by_backend.get(backend)
        if history is not None:
            history.count()

    def follow(self, endpoint: DesiredEndpoint, backends: Mapping[tuple[str, str], Backend]) -> None:
        """Take what the server wants."""
        self._follow_histories(endpoint)
        self._follow_rollout(endpoint)
        traffic = endpoint.traffic if self.guard is None else self.guard.traffic
        if traffic != self.traffic or self.guard is not None:
            self._split(traffic)
        self._follow_mirror(endpoint, backends)
        places = {name: backends.get((self.name, name)) for name in self._tallies}
        self._by_backend = {place: self._tallies[name] for name, place in places.items() if place is not None}

    def pick(self) -> str | None:
        """Return the next deployment by the split."""
        if self._picked is not None:
            self._take_back(self._picked)  # that request went nowhere
        self._picked = self._picker.pick()
        return self._picked

    def begin(self, name: str) -> float | None:
        """Return the time at which a request goes to a deployment that the split chose for it; else None."""
        picked, self._picked = self._picked, None
        if picked is None:
            return None
        if picked != name:  # another was found to answer it
            self._take_back(picked)
            return None
        return asyncio.get_running_loop().time()

    async def score(self, name: str, began: float, backend: Backend, meta: bytes, body: bytes) -> Reply:
        """Return the reply to a request that :meth:`begin` gave a time, and count what became of it."""
        try:
            reply = await backend.score(meta, body)
        except codes.ScoringError as error:
            if isinstance(error, codes.NotReadyError) and not backend.was_ready:
                self._take_back(name)  # this gateway has just begun and knows nothing of the version yet
            else:
                self.end(name, began, error.status)
            raise
        except BaseException:
            self._take_back(name)  # nobody waits for it any more
            raise
        self.end(name, began, codes.answered_status(reply[0], is_script=backend.is_script))
        return reply

    def end(self, name: str, began: float, status: int) -> None:
        """Count what became of a request that :meth:`begin` gave a time; ``status`` is the client's."""
        if status == codes.QueueFullError.status:
            self._take_back(name)
            return
        seconds = asyncio.get_running_loop().time() - began
        is_failure = codes.is_failure(status)
        tally = self._tallies.get(name)
        if tally is not None:
            tally.note(seconds, is_failure=is_failure)
        guard = self.guard
        if guard is not None and name == guard.to:
            guard.note(seconds, is_failure=is_failure)

    def news(self) -> dict[str, Any]:
        """Return what the server is told."""
        told: dict[str, Any] = {"endpoint": self.name}
        if self.guard is not None:
            told["rollout"] = self.guard.news()
        if self.mirror is not None:
            told["mirrored"] = self.mirror.news()
        return told

    def close(self, *, is_forgotten: bool) -> None:
        """Let go of all counts; an endpoint that is gone leaves no file."""
        tallies = [tally for _, tally in self._histories.values()]
        if self.guard is not None:
            tallies.append(self.guard.tally)
        if self.mirror is not None:
            self.mirror.stop()
        self.guard = self.mirror = None
        self._tallies, self._histories, self._by_backend = {}, {}, {}
        for tally in tallies:
            tally.close()
        if is_forgotten:
            for path in self._folder.glob(f"{self.name}.*"):
                path.unlink(missing_ok=True)

    def _take_back(self, name: str) -> None:
        if self.guard is not None and name == self.guard.to:
            self.guard.take_back()

    def _split(self, traffic: dict[str, int]) -> None:
        guard = self.guard
        if traffic != self.traffic or isinstance(self._picker, GuardedPicker) != (guard is not None):
            self._picker = LowDiscrepancyPicker(traffic) if guard is None else guard.picker()
        elif isinstance(self._picker, GuardedPicker) and self._picker.guard is not guard:
            assert guard is not None
            self._picker = guard.picker()
        self.traffic = dict(traffic)

    def _follow_histories(self, endpoint: DesiredEndpoint) -> None:
        there = {deployment.name: f"{deployment.name}:{deployment.revision}" for deployment in endpoint.deployments}
        for name in self._histories.keys() - there.keys():
            self._histories.pop(name)[1].close()
            self._path(f"{name}.history").unlink(missing_ok=True)
        for name, identity in there.items():
            known = self._histories.get(name)
            if known is None or known[0] != identity:
                if known is not None:
                    known[1].close()
                tally = Tally(self._path(f"{name}.history"), identity, blocks=HISTORY_BLOCKS)
                self._histories[name] = (identity, tally)
        self._tallies = {name: tally for name, (_, tally) in self._histories.items()}

    def _follow_rollout(self, endpoint: DesiredEndpoint) -> None:
        wanted = endpoint.rollout
        guard = self.guard
        if guard is not None and (wanted is None or wanted.number != guard.number):
            guard.tally.close()
            self.guard = guard = None
            if wanted is None:
                for end in ("rollout", "rollout.json"):
                    self._path(end).unlink(missing_ok=True)
        if wanted is None:
            if isinstance(self._picker, GuardedPicker):
                self._picker = LowDiscrepancyPicker(self.traffic)
            return
        if guard is not None:
            guard.follow(wanted)
            return
        self.guard = RolloutGuard(
            wanted,
            Tally(self._path("rollout"), f"{wanted.number}"),
            old=lambda: self._old(wanted.base),
            path=self._path("rollout.json"),
            on_decision=self._on_decision,
        )

    def _follow_mirror(self, endpoint: DesiredEndpoint, backends: Mapping[tuple[str, str], Backend]) -> None:
        chosen = [(to, percent) for to, percent in endpoint.mirror.items() if percent and not self.traffic.get(to)]
        to, percent = chosen[0] if chosen else ("", 0)
        backend = backends.get((self.name, to))
        known = self.mirror
        if known is not None and backend is known.backend and percent == known.percent:
            return
        if known is not None:
            known.stop()
            self.mirror = None
        if backend is not None:
            identity = next((f"{d.name}:{d.revision}" for d in endpoint.deployments if d.name == to), to)
            self.mirror = Mirror(to, percent, backend, Tally(self._path("mirror"), identity))

    def _on_decision(self) -> None:
        assert self.guard is not None
        self._split(self.guard.traffic)
        self._on_change()

    def _old(self, base: Mapping[str, int]) -> Counts:
        return counts_of(self._tallies, base)

    def _path(self, end: str) -> Path:
        return self._folder / f"{self.name}.{end}"


class Steerings(Mapping[str, Steering]):
    """The steering of every endpoint.

    Parameters
    ----------
    folder : Path
        Where counts are kept.
    on_change : callable
        Called when a release has changed a split.
    """

    def __init__(self, folder: Path, on_change: Callable[[], None]) -> None:
        self._folder = folder
        self._on_change = on_change
        self._by_name: dict[str, Steering] = {}
        self._told: dict[str, dict[str, Any]] = {}

    def __getitem__(self, name: str) -> Steering:
        return self._by_name[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name)

    def __len__(self) -> int:
        return len(self._by_name)

    def follow(self, endpoints: Iterable[DesiredEndpoint], backends: Mapping[tuple[str, str], Backend]) -> None:
        """Take what the server wants."""
        there = {endpoint.name: endpoint for endpoint in endpoints}
        for name in self._by_name.keys() - there.keys():
            self._by_name.pop(name).close(is_forgotten=True)
            self._told.pop(name, None)
        for name, endpoint in there.items():
            if name not in self._by_name:
                self._by_name[name] = Steering(name, self._folder, self._on_change)
            self._by_name[name].follow(endpoint, backends)

    @property
    def is_busy(self) -> bool:
        """Return whether there is a release or a mirror to look at."""
        return not all(steering.is_plain for steering in self._by_name.values())

    def look(self) -> list[dict[str, Any]]:
        """Let releases whose time has come decide; return the news that the server does not have yet."""
        news = []
        for name, steering in self._by_name.items():
            if steering.is_plain:
                continue
            if steering.guard is not None:
                steering.guard.look()
            told = steering.news()
            if self._told.get(name) != told:
                self._told[name] = told
                news.append(told)
        return news

    def close(self) -> None:
        """Let go of all counts; they stay for the next gateway."""
        for steering in self._by_name.values():
            with contextlib.suppress(BufferError):
                steering.close(is_forgotten=False)
