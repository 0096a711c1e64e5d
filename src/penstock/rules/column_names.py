"""Columns of runs as people write them: ``metrics.accuracy``, ``params.*``, ``tags.best``, ``status``."""

from __future__ import annotations

from collections.abc import Iterable

from penstock.entities.errors import UsageError
from penstock.rules.suggest import did_you_mean

KINDS = ("attributes", "metrics", "params", "tags")
_PREFIXES = {kind: kind for kind in KINDS} | {kind[:-1]: kind for kind in KINDS} | {"parameter": "params"}

Columns = dict[str, "list[str] | str"]


def parse_columns(names: Iterable[str]) -> Columns:
    """Return the names of each kind without their prefix, ``*`` where all of a kind are asked for.

    Raises
    ------
    UsageError
        If a name has another prefix than metrics, params, tags or attributes.
    """
    found: dict[str, list[str]] = {kind: [] for kind in KINDS}
    for name in filter(None, (name.strip() for name in names)):
        prefix, dot, key = name.partition(".")
        kind = _PREFIXES.get(prefix) if dot else "attributes"
        if kind is None or (dot and not key):
            hint = did_you_mean(prefix, _PREFIXES) or "Write metrics.NAME, params.NAME, tags.NAME or an attribute."
            raise UsageError(f'"{name}" is no column of a run', hint=hint)
        found[kind].append(key if dot else name)
    return {kind: "*" if "*" in keys else keys for kind, keys in found.items()}
