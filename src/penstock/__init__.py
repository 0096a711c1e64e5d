"""Penstock: a self-hosted machine-learning platform.

The public names are loaded when they are first used, so ``import penstock`` costs a millisecond and a job
that only logs metrics loads no client.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

_MODULES = {
    "Workspace": "penstock.sdk.workspace",
    "Run": "penstock.sdk.run",
    "command": "penstock.sdk.builders",
    "Input": "penstock.sdk.builders",
    "Output": "penstock.sdk.builders",
    "Estimator": "penstock.sdk.estimator",
}

if TYPE_CHECKING:
    from penstock.sdk.builders import Input, Output, command
    from penstock.sdk.estimator import Estimator
    from penstock.sdk.run import Run
    from penstock.sdk.workspace import Workspace


def __getattr__(name: str) -> object:
    try:
        module = _MODULES[name]
    except KeyError:
        raise AttributeError(f"module 'penstock' has no attribute {name!r}") from None
    value: object = getattr(import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})


__all__ = ["Estimator", "Input", "Output", "Run", "Workspace", "__version__", "command"]
