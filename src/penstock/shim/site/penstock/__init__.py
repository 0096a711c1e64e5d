"""``import penstock`` in a job's own interpreter: ``log_*``, ``Run.get_context()``, and nothing that needs a package.

This folder is the last on the ``PYTHONPATH`` of every job, so it is found in any interpreter the command starts. That
comes before the interpreter's own packages: where Penstock is installed among them, that one takes this one's place.
The code is the same file that the real package uses; ``__path__`` leads to it.
"""

from __future__ import annotations

import os
import sys
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import module_from_spec
from typing import Optional

HERE = os.path.realpath(__file__)


def _installed() -> Optional[ModuleSpec]:
    """Return where Penstock is installed in this interpreter, None where it is not."""
    own = os.path.dirname(os.path.dirname(HERE))
    others = [folder for folder in sys.path if os.path.realpath(folder) != own]
    found = PathFinder.find_spec("penstock", others)
    if found is None or found.loader is None or not found.origin or os.path.realpath(found.origin) == HERE:
        return None
    return found


_spec = _installed()
if _spec is not None and _spec.loader is not None:
    _module = module_from_spec(_spec)
    sys.modules["penstock"] = _module
    _spec.loader.exec_module(_module)
else:
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
