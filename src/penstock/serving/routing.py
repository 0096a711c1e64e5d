"""What the hot path looks a request up in: endpoints by path, their keys, traffic and deployments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from penstock.rules.traffic import LowDiscrepancyPicker
from penstock.serving.backend import Backend
from penstock.serving.desired import DesiredEndpoint


@dataclass(frozen=True, slots=True)
class Route:
    """One endpoint; ``keys`` are SHA-256 hex digests."""

    name: str
    keys: frozenset[str]
    traffic: Mapping[str, int]
    picker: LowDiscrepancyPicker
    backends: Mapping[str, Backend]


class Routes:
    """All endpoints; replaced whole, so a request sees one state."""

    def __init__(self) -> None:
        self._by_path: dict[str, Route] = {}

    def find(self, path: str) -> Route | None:
        """Return the endpoint whose scoring path this is."""
        return self._by_path.get(path)

    def replace(self, endpoints: list[DesiredEndpoint], backends: Mapping[tuple[str, str], Backend]) -> None:
        """Serve these endpoints from now on; a traffic split that did not change keeps its place."""
        routes = {}
        for endpoint in endpoints:
            path = f"/endpoints/{endpoint.name}/score"
            old = self._by_path.get(path)
            if old is not None and old.traffic == endpoint.traffic:
                picker = old.picker
            else:
                picker = LowDiscrepancyPicker(endpoint.traffic)
            mine = {name: backend for (owner, name), backend in backends.items() if owner == endpoint.name}
            routes[path] = Route(endpoint.name, frozenset(endpoint.keys), endpoint.traffic, picker, mine)
        self._by_path = routes
