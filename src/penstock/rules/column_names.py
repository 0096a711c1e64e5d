"""Columns of runs as people write them: ``metrics.accuracy``, ``params.*``, ``tags.best``, ``status``."""

from __future__ import annotations

from collections.abc import Iterable

from penstock.entities.errors import UsageError
from penstock.entities.run_attributes import ATTRIBUTES
from penstock.rules.suggest import did_you_mean

KINDS = ("attributes", "metrics", "params", "tags")
_PREFIXES = {kind: kind for kind in KINDS} | {kind[:-1]: kind for kind in KINDS} | {"parameter": "params"}

Columns = dict[str, "list[str] | str"]


def parse_columns(names: Iterable[str]) -> Columns:
    """Return the names of each kind without their prefix, ``*`` where all of a kind are asked for.

    Raises
    ------
    UsageError
        If a name has another prefix than metrics, params, tags or attributes, or is no attribute.
    """
    found: dict[str, list[str]] = {kind: [] for kind in KINDS}
    for name in filter(None, (name.strip() for name in names)):
        prefix, dot, key = name.partition(".")
        kind = _PREFIXES.get(prefix) if dot else "attributes"
        if kind is None or (dot and not key):
            hint = did_you_mean(prefix, _PREFIXES) or "Write metrics.NAME, params.NAME, tags.NAME or an attribute."
            raise UsageError(f'"{name}" is no column of a run', hint=hint)
        if kind == "attributes" and (key if dot else name) not in {*ATTRIBUTES, "*"}:
            raise UsageError(f'"{name}" is no column of a run', hint=_attribute_hint(key if dot else name))
        found[kind].append(key if dot else name)
    return {kind: "*" if "*" in keys else keys for kind, keys in found.items()}


def _attribute_hint(name: str) -> str:
    if name in _PREFIXES:
        return f"Write {_PREFIXES[name]}.NAME."
    return did_you_mean(name, ATTRIBUTES) or f"Write metrics.NAME, params.NAME, tags.NAME, or {', '.join(ATTRIBUTES)}."
