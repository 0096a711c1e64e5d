"""Cores and memory in Kubernetes' notation, and what a ``resources:`` block limits.

``limits`` are enforced; ``requests`` only say what must be there. For whom: online deployments; jobs may follow.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from penstock.entities.errors import Problem
from penstock.rules.suggest import did_you_mean

GPU_KEYS = ("nvidia.com/gpu", "amd.com/gpu", "gpu")
KEYS = ("cpu", "memory", *GPU_KEYS)
PARTS = ("requests", "limits")
_NUMBER = re.compile(r"(\d+(?:\.\d*)?|\.\d+)([eE]\d{1,2})?(m|[kKMGTP]i?)?", re.ASCII)
_POWERS = {"": 0, "k": 1, "K": 1, "M": 2, "G": 3, "T": 4, "P": 5}
_CPU_HINT = "Write cores, such as 2, 0.5 or 500m."
_MEMORY_HINT = "Write bytes, such as 512Mi, 2Gi or 1.5G."


@dataclass(frozen=True, slots=True)
class ResourceLimits:
    """What one instance may use; None is what there is. ``cpu`` in cores."""

    cpu: float | None = None
    memory_bytes: int | None = None
    gpus: int | None = None

    @property
    def cores(self) -> int | None:
        """Return on how many cores it may run at once."""
        return None if self.cpu is None else max(1, math.ceil(self.cpu))


def parse_cpu(value: Any) -> float:
    """Return a number of cores; raises ValueError."""
    number, suffix = _parse(value)
    if suffix not in ("", "m"):
        raise ValueError(_CPU_HINT)
    return number / 1000 if suffix == "m" else number


def parse_memory(value: Any) -> int:
    """Return a number of bytes, at least one; raises ValueError."""
    number, suffix = _parse(value)
    if suffix == "m":
        return max(1, int(number / 1000))
    base = 1024 if suffix.endswith("i") else 1000
    return max(1, int(number * base ** _POWERS[suffix.removesuffix("i")]))


def read_limits(resources: Mapping[str, Any] | None, part: str = "limits") -> ResourceLimits:
    """Return what one part of a block names; what :func:`check_resources` would not take names nothing."""
    named = (resources or {}).get(part)
    if not isinstance(named, Mapping) or check_resources({part: named}):
        return ResourceLimits()
    cpu, memory = named.get("cpu"), named.get("memory")
    gpus = next((int(named[key]) for key in GPU_KEYS if key in named), None)
    return ResourceLimits(
        None if cpu is None else parse_cpu(cpu), None if memory is None else parse_memory(memory), gpus
    )


def check_resources(resources: Mapping[str, Any] | None) -> list[Problem]:
    """Return what is wrong with a ``resources:`` block."""
    problems = []
    for part, named in (resources or {}).items():
        pointer = f"/resources/{part}"
        if part not in PARTS:
            problems.append(Problem(f'unknown key "{part}"', pointer, did_you_mean(part, PARTS)))
            continue
        if not isinstance(named, Mapping | None):
            problems.append(Problem("must be a mapping", pointer, "Write cpu and memory below it."))
            continue
        for key, value in (named or {}).items():
            if key not in KEYS:
                problems.append(Problem(f'unknown resource "{key}"', f"{pointer}/{key}", f"Known: {', '.join(KEYS)}."))
                continue
            try:
                _check_value(key, value)
            except ValueError as error:
                shown = str(value)[:40]
                escaped = key.replace("/", "~1")
                problems.append(Problem(f'"{shown}" is no amount of {key}', f"{pointer}/{escaped}", str(error)))
    return problems


def warn_of_scarcity(
    resources: Mapping[str, Any] | None, instances: int, *, cores: int, memory_bytes: int
) -> list[str]:
    """Return a sentence for each kind of which a deployment's instances ask for more than the machine has."""
    warnings = []
    for part in PARTS:
        wanted = read_limits(resources, part)
        if wanted.cpu is not None and wanted.cpu * instances > cores:
            said = f"{_times(instances)}{wanted.cpu:g} core(s)"
            warnings.append(f"resources.{part}.cpu: {said}, and the machine has {cores}")
        if wanted.memory_bytes is not None and wanted.memory_bytes * instances > memory_bytes:
            said = f"{_times(instances)}{show_bytes(wanted.memory_bytes)}"
            warnings.append(f"resources.{part}.memory: {said}, and the machine has {show_bytes(memory_bytes)}")
    return warnings


def choose_cores(count: int, available: Iterable[int], load: Mapping[int, int]) -> frozenset[int]:
    """Return the ``count`` cores on which the fewest others were put; all of them where there are no more."""
    return frozenset(sorted(available, key=lambda core: (load.get(core, 0), core))[:count])


def parse_instance_types(texts: Sequence[str]) -> dict[str, dict[str, dict[str, str]]]:
    """Return ``["Standard_DS3_v2=4/14Gi"]`` as ``resources`` blocks by name; a third part is a number of GPUs.

    Raises
    ------
    ValueError
        If one is written otherwise.
    """
    found = {}
    for text in texts:
        name, equals, amounts = text.partition("=")
        parts = amounts.split("/")
        if not name or not equals or len(parts) not in (2, 3):
            raise ValueError(f'"{text}" is no instance type; write NAME=CORES/MEMORY, such as Standard_DS3_v2=4/14Gi')
        limits = dict(zip(("cpu", "memory", GPU_KEYS[0]), parts, strict=False))
        for key, amount in limits.items():
            _check_value(key, amount)
        found[name.strip().lower()] = {"limits": limits}
    return found


def show_bytes(count: int) -> str:
    """Return a number of bytes as people write it."""
    for suffix, size in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if count >= size:
            return f"{count / size:.4g} {suffix}"
    return f"{count} bytes"


def _check_value(key: str, value: Any) -> None:
    if key == "cpu":
        if parse_cpu(value) <= 0:
            raise ValueError(_CPU_HINT)
    elif key == "memory":
        parse_memory(value)
    elif isinstance(value, bool) or not str(value).isdecimal():
        raise ValueError("Write a whole number.")


def _parse(value: Any) -> tuple[float, str]:
    match = None if isinstance(value, bool) else _NUMBER.fullmatch(str(value).strip())
    if match is None:
        raise ValueError(f"{_CPU_HINT} {_MEMORY_HINT}")
    number, exponent, suffix = match.groups()
    return float(number + (exponent or "")), suffix or ""


def _times(instances: int) -> str:
    return f"{instances} x " if instances > 1 else ""
