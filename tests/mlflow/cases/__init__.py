"""Cases by group of endpoints: what the real client and raw requests do, whichever server answers."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

GROUPS = sorted(
    path.stem for path in Path(__file__).parent.glob("*.py") if path.stem not in {"__init__", "base", "plain"}
)


def all_cases() -> dict[str, Callable[[Any], Any]]:
    """Return every case by its name."""
    from tests.mlflow.cases.base import CASES

    for group in GROUPS:
        importlib.import_module(f"tests.mlflow.cases.{group}")
    return CASES
