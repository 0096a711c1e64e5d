"""``import penstock`` in a job's own interpreter: ``log_*``, ``Run.get_context()``, and nothing that needs a package.

This folder is put on ``PYTHONPATH`` of jobs whose environment is not Penstock's own interpreter. The code is the same
file that the real package uses; ``__path__`` leads to it.
"""

from __future__ import annotations

import os

__path__ = [os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))]

from penstock.shim.context import Run
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
    "Run",
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


def __getattr__(name: str) -> object:
    """Say why the rest of Penstock is not here."""
    raise AttributeError(
        "penstock.%s is not available in a job's own environment, which has only the logging functions; "
        "leave out the job's environment, or run this where Penstock is installed" % name
    )
