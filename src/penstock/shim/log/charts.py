"""How well a model predicts: data in Azure ML's schemas, and a picture beside it."""

from __future__ import annotations

from typing import Any, Mapping, Sequence

from ..mistakes import forgiving
from .checks import checked_name, encode_json, plain, put

TABLE_KEYS = (
    "probability_tables",
    "percentile_tables",
    "probability_thresholds",
    "percentile_thresholds",
    "class_labels",
)


@forgiving
def log_confusion_matrix(
    name: str, matrix: Any = None, labels: Sequence[Any] | None = None, *, y_true: Any = None, y_pred: Any = None
) -> None:
    """Keep a confusion matrix as ``confusion_matrix/<name>.json`` (Azure ML's schema) and as a picture beside it.

    Parameters
    ----------
    name : str
        Its name.
    matrix : nested list or array, shape (n_classes, n_classes), or Azure ML's dictionary
        Rows are the true classes.
    labels : sequence, optional
        The classes' names.
    y_true, y_pred : sequence
        True and predicted classes to count, instead of a matrix.
    """
    from ..evaluation import confusion  # few jobs draw anything
    from ..matrix import draw_matrix, square

    if isinstance(matrix, Mapping):
        data = matrix.get("data", matrix)
        labels, matrix = data.get("class_labels", labels), data["matrix"]
    elif matrix is None:
        matrix, labels = confusion(y_true, y_pred, labels)
    matrix = plain(matrix) if hasattr(matrix, "tolist") else matrix
    rows = square(matrix)
    names = [str(label) for label in labels] if labels is not None else [str(n) for n in range(len(rows))]
    if len(names) != len(rows):
        raise ValueError("%d labels for %d classes" % (len(names), len(rows)))
    _put("confusion_matrix", "1.0.0", name, {"class_labels": names, "matrix": matrix}, draw_matrix(rows, names, name))


@forgiving
def log_accuracy_table(
    name: str, table: Any = None, *, y_true: Any = None, y_score: Any = None, labels: Sequence[Any] | None = None
) -> None:
    """Keep an accuracy table as ``accuracy_table/<name>.json`` (Azure ML's schema v1), ROC and PR curves as a picture.

    Parameters
    ----------
    name : str
        Its name.
    table : dict
        Azure ML's, whole or only its ``data``.
    y_true : sequence, length n
        True classes, instead of a table.
    y_score : sequence, shape (n, n_classes), or (n,) for the second of two classes
        Their probabilities.
    labels : sequence, optional
        The classes in the order of the scores; by default those in ``y_true``, sorted.
    """
    from ..evaluation import accuracy_table, recall_points, roc_points
    from ..font import clipped
    from ..plots import Panel, area, draw_curves

    data = accuracy_table(y_true, y_score, labels) if table is None else _data(table, TABLE_KEYS)
    tables = data["probability_tables"]
    if len(tables) != len(data["class_labels"]) or any(len(row) != 4 for one in tables for row in one):
        raise ValueError("an accuracy table has four counts for each threshold of each class")
    roc, recall = [roc_points(one) for one in tables], [recall_points(one) for one in tables]
    panels = [
        Panel("ROC", "False positive rate", "True positive rate", roc, has_chance_line=True),
        Panel("Precision and recall", "Recall", "Precision", recall),
    ]
    legend = ["%s AUC %.3f" % (clipped(str(label), 18), area(one)) for label, one in zip(data["class_labels"], roc)]
    _put("accuracy_table", "v1", name, data, draw_curves(panels, legend, name))


@forgiving
def log_predictions(
    name: str, predictions: Any = None, *, y_true: Any = None, y_pred: Any = None, bins: int = 10
) -> None:
    """Keep predictions in bins of the truth as ``predictions/<name>.json`` (Azure ML's schema v1) and as a picture.

    Parameters
    ----------
    name : str
        Its name.
    predictions : dict
        Azure ML's, whole or only its ``data``: ``bin_averages``, ``bin_errors``, ``bin_counts``, ``bin_edges``.
    y_true, y_pred : sequence of numbers
        True and predicted values, instead of bins.
    bins : int
        How many bins of equal width to make of them.
    """
    from ..evaluation import prediction_bins
    from ..plots import draw_predictions

    if predictions is None:
        data: dict[str, Any] = dict(prediction_bins(y_true, y_pred, bins))
    else:
        data = _data(predictions, ("bin_averages", "bin_errors", "bin_counts", "bin_edges"))
    edges, *columns = (_floats(data[key]) for key in ("bin_edges", "bin_averages", "bin_errors", "bin_counts"))
    if len(edges) < 2 or any(len(column) != len(edges) - 1 for column in columns):
        raise ValueError("bins have one edge more than averages, errors and counts")
    averages, errors, counts = columns
    _put("predictions", "v1", name, data, draw_predictions(edges, averages, errors, counts, name))


@forgiving
def log_residuals(name: str, residuals: Any = None, *, y_true: Any = None, y_pred: Any = None, bins: int = 20) -> None:
    """Keep a histogram of residuals as ``residuals/<name>.json`` (Azure ML's schema v1) and as a picture.

    Parameters
    ----------
    name : str
        Its name.
    residuals : dict
        Azure ML's, whole or only its ``data``: ``bin_edges`` and ``bin_counts``.
    y_true, y_pred : sequence of numbers
        True and predicted values, instead of bins; a residual is true minus predicted.
    bins : int
        How many bins of equal width to make of them.
    """
    from ..evaluation import residual_bins
    from ..plots import draw_bars

    if residuals is None:
        data: dict[str, Any] = dict(residual_bins(y_true, y_pred, bins))
    else:
        data = _data(residuals, ("bin_edges", "bin_counts"))
    edges, counts = _floats(data["bin_edges"]), _floats(data["bin_counts"])
    if len(edges) < 2 or len(counts) != len(edges) - 1:
        raise ValueError("bins have one edge more than counts")
    _put("residuals", "v1", name, data, draw_bars(edges, counts, name))


def _put(kind: str, version: str, name: str, data: dict[str, Any], picture: bytes) -> None:
    document = {"schema_type": kind, "schema_version": version, "data": data}
    put("%s/%s.json" % (kind, checked_name(name)), encode_json(document))
    put("%s/%s.png" % (kind, name), picture)


def _data(value: Any, keys: Sequence[str]) -> dict[str, Any]:
    """Return the data of Azure ML's dictionary; raises TypeError or ValueError for something else."""
    data = value.get("data", value) if isinstance(value, Mapping) else None
    if not isinstance(data, Mapping):
        if isinstance(value, Mapping):
            raise TypeError('the "data" of Azure ML\'s dictionary is a dictionary too, not %s' % type(data).__name__)
        raise TypeError("this is Azure ML's dictionary or left out, not %s" % type(value).__name__)
    missing = [key for key in keys if key not in data]
    if missing:
        raise ValueError("the data lacks %s" % ", ".join(missing))
    return dict(data)


def _floats(values: Any) -> list[float]:
    return [float(value) for value in (values.tolist() if hasattr(values, "tolist") else values)]
