"""What a job calls to log metrics, parameters, tags, pictures, tables, files and how well a model predicts.

Calls return at once and never raise: outside a job they do nothing but warn once, and a mistake of the calling program
is one line in the job's log that says where, what and what to do. What can be taken is taken; what is too large is cut
or left out. ``PENSTOCK_LOG_STRICT=1`` raises mistakes, for tests.
"""

from __future__ import annotations

from .charts import log_accuracy_table, log_confusion_matrix, log_predictions, log_residuals
from .files import log_artifact, log_artifacts, log_dict, log_figure, log_image, log_table, log_text
from .values import log_list, log_metric, log_metrics, log_param, log_params, log_row, set_tag, set_tags

__all__ = [
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
