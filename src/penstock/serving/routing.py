"""What a request is looked up in: endpoints by path, their keys, traffic and deployments; which one it goes to.

``/score``, the hot path, is one look in a dict; the other paths below an endpoint are taken apart.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from penstock.inference.protocols.paths import SCORING_DOORS, Asked, Door
from penstock.rules.suggest import did_you_mean
from penstock.rules.traffic import LowDiscrepancyPicker
from penstock.serving.backend import Backend
from penstock.serving.codes import UnknownError
from penstock.serving.desired import DesiredDeployment, DesiredEndpoint
from penstock.serving.steering import Steering

SCORE = Asked(Door.SCORE)
FIRST_VERSION = "1"
_PREFIX = "/endpoints/"
_REGISTERED = re.compile(r"azureml:[^:/]+:([^:/]+)")


@dataclass(frozen=True, slots=True)
class Route:
    """One endpoint; ``keys`` are SHA-256 hex digests, ``versions`` those of the models, ``runtimes`` what runs them."""

    name: str
    keys: frozenset[str]
    traffic: Mapping[str, int]
    picker: LowDiscrepancyPicker | Steering
    backends: Mapping[str, Backend]
    versions: Mapping[str, str]
    runtimes: Mapping[str, str]
    steering: Steering | None = None

    @property
    def path(self) -> str:
        """Return its scoring path."""
        return f"{_PREFIX}{self.name}/score"

    @property
    def quick(self) -> Backend | None:
        """Return the backend that gets all traffic, None where it is split."""
        only = self.picker.only
        return None if only is None else self.backends.get(only)

    def pick(self, asked: Asked, header: str | None = None) -> str:
        """Return the deployment that answers.

        A name in the path wins over the header, both win over the traffic split. What does not run a model goes to the
        deployment with most traffic: health checks between requests must not shift the split.

        Raises
        ------
        UnknownError
            If the endpoint has none of that name or version, or none that gets traffic.
        """
        named = asked.model if asked.model and asked.model != self.name else header
        if named is not None:
            if named not in self.backends:
                there = ", ".join(sorted(self.backends)) or "none"
                near = did_you_mean(named, [self.name, *self.backends] if asked.model else list(self.backends))
                hint = f"It has: {there}." + (f" {near}" if near else "")
                raise UnknownError(f"endpoint {self.name} has no deployment {named[:200]!r}", hint)
            if asked.version not in ("", self.versions[named]):
                raise self._no_version(asked.version, {named})
            return named
        picked = self.picker.pick() if asked.door in SCORING_DOORS else self._leading(self.traffic)
        if picked is None or picked not in self.backends:
            raise UnknownError(
                f"no deployment of endpoint {self.name} gets traffic",
                "Set it with: penstock online-endpoint update --traffic, or create a deployment with --all-traffic.",
            )
        if asked.version in ("", self.versions[picked]):
            return picked
        leading = self._leading(name for name, version in self.versions.items() if version == asked.version)
        if leading is None:
            raise self._no_version(asked.version, set(self.versions))
        return leading

    def _leading(self, names: Iterable[str]) -> str | None:
        """Return the deployment with most traffic of some; of several the first by name."""
        return min(names, key=lambda name: (-self.traffic.get(name, 0), name), default=None)

    def _no_version(self, version: str, names: set[str]) -> UnknownError:
        there = ", ".join(f"{self.versions[name]} ({name})" for name in sorted(names))
        return UnknownError(f"endpoint {self.name} has no model of version {version[:80]!r}", f"It has: {there}.")


class Routes:
    """All endpoints; replaced whole, so a request sees one state."""

    def __init__(self) -> None:
        self._by_path: dict[str, Route] = {}
        self._quick: dict[bytes, Route] = {}

    def find(self, path: str) -> Route | None:
        """Return the endpoint whose scoring path this is."""
        return self._by_path.get(path)

    def find_quick(self, url: bytes) -> Route | None:
        """Return the endpoint whose scoring path these bytes are, if requests may pass it without being counted."""
        return self._quick.get(url)

    def again(self, route: Route) -> Route:
        """Return a route's present state, or it itself where its endpoint has gone."""
        return self._by_path.get(f"{_PREFIX}{route.name}/score") or route

    def find_below(self, path: str) -> tuple[Route, str] | None:
        """Return the endpoint that a path belongs to, and the path relative to it."""
        if not path.startswith(_PREFIX):
            return None
        name, _, rest = path[len(_PREFIX) :].partition("/")
        route = self._by_path.get(f"{_PREFIX}{name}/score")
        return None if route is None else (route, "/" + rest.rstrip("/"))

    def replace(
        self,
        endpoints: list[DesiredEndpoint],
        backends: Mapping[tuple[str, str], Backend],
        steerings: Mapping[str, Steering] | None = None,
    ) -> None:
        """Serve these endpoints from now on; a traffic split that did not change keeps its place.

        Parameters
        ----------
        steerings : mapping, optional
            What decides about an endpoint's split, by its name; without one the wanted split holds.
        """
        routes = {}
        for endpoint in endpoints:
            path = f"/endpoints/{endpoint.name}/score"
            old = self._by_path.get(path)
            steering = None if steerings is None else steerings.get(endpoint.name)
            traffic = endpoint.traffic if steering is None else steering.traffic
            picker: LowDiscrepancyPicker | Steering
            if steering is not None:
                picker = steering
            elif old is not None and old.traffic == traffic:
                picker = old.picker
            else:
                picker = LowDiscrepancyPicker(traffic)
            mine = {name: backend for (owner, name), backend in backends.items() if owner == endpoint.name}
            versions = {d.name: version_of(d.model_ref) for d in endpoint.deployments if d.name in mine}
            runtimes = {d.name: runtime_of(d) for d in endpoint.deployments if d.name in mine}
            keys = frozenset(endpoint.keys)
            routes[path] = Route(endpoint.name, keys, traffic, picker, mine, versions, runtimes, steering)
        self._by_path = routes
        self._quick = {
            path.encode("latin-1"): route
            for path, route in routes.items()
            if (route.steering is None or route.steering.is_plain)
            and not any(backend.is_script for backend in route.backends.values())
        }


def runtime_of(deployment: DesiredDeployment) -> str:
    """Return what runs a deployment, also of a server that does not say it."""
    return deployment.runtime or ("onnx" if deployment.scoring_script is None else "script")


def version_of(model_ref: str | None) -> str:
    """Return a registered model's version; of any other model, 1."""
    match = _REGISTERED.fullmatch(model_ref or "")
    return match.group(1) if match else FIRST_VERSION
