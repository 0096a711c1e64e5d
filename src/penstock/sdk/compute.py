"""``ws.compute_targets``: where jobs can run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from penstock.entities.compute import Compute
from penstock.entities.errors import NotFoundError
from penstock.sdk.rest import Rest
from penstock.sdk.wire import as_entity


class ComputeTargets(Mapping[str, Compute]):
    """The targets by name, as the server has them when asked."""

    def __init__(self, rest: Rest) -> None:
        self._rest = rest

    def _fetch(self) -> dict[str, Compute]:
        return {data["name"]: as_entity(Compute, data) for data in self._rest.list_computes()}

    def __getitem__(self, name: str) -> Compute:
        return self._fetch()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._fetch())

    def __len__(self) -> int:
        return len(self._fetch())

    def __repr__(self) -> str:
        return f"ComputeTargets({sorted(self._fetch())})"

    def show(self, name: str) -> Compute:
        """Return one target.

        Raises
        ------
        NotFoundError
            If there is none of that name.
        """
        targets = self._fetch()
        if name not in targets:
            raise NotFoundError(f'no compute named "{name}"', hint=f"There are: {', '.join(sorted(targets))}.")
        return targets[name]
