"""``ws.experiments``: the groups that runs are in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from penstock.sdk.rest import Json, Rest


@dataclass(frozen=True, slots=True)
class ExperimentRecord:
    """One experiment."""

    id: str
    name: str
    lifecycle_stage: str
    created_at: datetime
    tags: dict[str, str] = field(default_factory=dict)


class ExperimentsClient:
    """The experiments of a workspace; each is found by its name or id."""

    def __init__(self, rest: Rest) -> None:
        self._rest = rest

    def get(self, name: str) -> ExperimentRecord:
        """Return an experiment, deleted or not."""
        return _record(self._rest.get_experiment(name))

    def list(self, *, view: str = "active") -> Iterator[ExperimentRecord]:
        """Yield experiments, newest first; ``view`` is active, deleted or all."""
        return map(_record, self._rest.list_experiments(view=view))

    def create(self, name: str, *, tags: Mapping[str, str] | None = None) -> ExperimentRecord:
        """Create an experiment; a job or a run that names a new one creates it too."""
        self._rest.ensure_workspace()
        return _record(self._rest.create_experiment({"name": name, "tags": dict(tags or {})}))

    def rename(self, name: str, new_name: str) -> ExperimentRecord:
        """Give an experiment another name."""
        return _record(self._rest.change_experiment(name, {"name": new_name}))

    def set_tags(self, name: str, tags: Mapping[str, str | None]) -> ExperimentRecord:
        """Set tags; one that is None is removed, the others stay."""
        return _record(self._rest.change_experiment(name, {"tags": dict(tags)}))

    def delete(self, name: str) -> ExperimentRecord:
        """Hide an experiment and its runs; they can be restored until a permanent deletion."""
        return _record(self._rest.delete_experiment(name))

    def restore(self, name: str) -> ExperimentRecord:
        """Show a deleted experiment and its runs again."""
        return _record(self._rest.delete_experiment(name, restore=True))


def _record(data: Json) -> ExperimentRecord:
    return ExperimentRecord(
        id=data["id"],
        name=data["name"],
        lifecycle_stage=data["lifecycle_stage"],
        created_at=datetime.fromisoformat(data["created_at"]),
        tags=data.get("tags") or {},
    )
