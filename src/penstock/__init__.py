"""Penstock: a self-hosted machine-learning platform.

The public names are loaded when they are first used, so ``import penstock`` costs a millisecond and a job
that only logs metrics loads no client.
"""

from __future__ import annotations

from importlib import import_module

from penstock.version import __version__

# What `typing` has under this name; importing it would cost every job 2 ms, and checkers know the name alone.
TYPE_CHECKING = False

if TYPE_CHECKING:
    from penstock.entities.errors import PenstockError
    from penstock.inference.model import load_model
    from penstock.sdk.builders import Input, Output, command
    from penstock.sdk.estimator import Estimator
    from penstock.sdk.run import Run
    from penstock.sdk.workspace import Workspace
    from penstock.shim.log import (
        log_accuracy_table,
        log_artifact,
        log_artifacts,
        log_confusion_matrix,
        log_dict,
        log_figure,
        log_image,
        log_list,
        log_metric,
        log_metrics,
        log_param,
        log_params,
        log_predictions,
        log_residuals,
        log_row,
        log_table,
        log_text,
        set_tag,
        set_tags,
    )


__all__ = [
    "Estimator",
    "Input",
    "Output",
    "PenstockError",
    "Run",
    "Workspace",
    "__version__",
    "command",
    "load_model",
    "log_accuracy_table",
    "log_artifact",
    "log_artifacts",
    "log_confusion_matrix",
    "log_dict",
    "log_figure",
    "log_image",
    "log_list",
    "log_metric",
    "log_metrics",
    "log_param",
    "log_params",
    "log_predictions",
    "log_residuals",
    "log_row",
    "log_table",
    "log_text",
    "set_tag",
    "set_tags",
]

_MODULES = {
    "Estimator": "penstock.sdk.estimator",
    "Input": "penstock.sdk.builders",
    "Output": "penstock.sdk.builders",
    "PenstockError": "penstock.entities.errors",
    "Run": "penstock.sdk.run",
    "Workspace": "penstock.sdk.workspace",
    "command": "penstock.sdk.builders",
    "load_model": "penstock.inference.model",
}
_LOG_MODULE = "penstock.shim.log"


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'penstock' has no attribute {name!r}")
    value: object = getattr(import_module(_MODULES.get(name, _LOG_MODULE)), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
