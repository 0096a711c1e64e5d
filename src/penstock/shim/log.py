"""What a job calls to log metrics, parameters, tags, pictures, tables and files.

Calls return at once and never fail because of Penstock: outside a job they do nothing but warn once. Only an argument
of a wrong type or shape raises, because that is a mistake in the calling program; what is too large is cut or left out
with a warning.
"""

from __future__ import annotations

import io
import json
import math
import operator
import os
import threading
from typing import Any, Iterable, Mapping, Sequence

from .matrix import draw_matrix, square
from .pictures import picture_png
from .spool import current, warn_once

__all__ = [
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
    "log_row",
    "log_table",
    "log_text",
    "set_tag",
    "set_tags",
]

PICTURE_ENDINGS = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".webp", ".svg", ".tif", ".tiff", ".pdf")
MAX_KEY, MAX_PARAM, MAX_TAG = 250, 6000, 8000  # characters, as MLflow has them
LEAST_STEP, MAX_STEP = -(2**63), 2**63 - 1
_steps: dict[str, int] = {}
_steps_lock = threading.Lock()


def log_metric(name: str, value: Any, step: int | None = None) -> None:
    """Log one value of a metric.

    Parameters
    ----------
    name : str
        Letters, digits and ``_ - . space : /``.
    value : number
        Anything ``float`` takes but text; NaN and infinities are kept.
    step : int, optional
        Its place on the x axis; by default one more than the last of this name in this process, from 0.
    """
    _log_metric(_name(name), _number(value), step)


def log_metrics(metrics: Mapping[str, Any], step: int | None = None) -> None:
    """Log several metrics at the same step."""
    checked = {_name(name): _number(value) for name, value in _mapping(metrics).items()}
    for name, value in checked.items():
        _log_metric(name, value, step)


def log_param(name: str, value: Any) -> None:
    """Log a parameter as text; it keeps its first value for the whole run."""
    _log_text("param", _name(name), value, MAX_PARAM)


def log_params(params: Mapping[str, Any]) -> None:
    """Log several parameters."""
    for name, value in _mapping(params).items():
        log_param(name, value)


def set_tag(name: str, value: Any) -> None:
    """Set a tag of the run as text; the last value counts."""
    _log_text("tag", _name(name), value, MAX_TAG)


def set_tags(tags: Mapping[str, Any]) -> None:
    """Set several tags."""
    for name, value in _mapping(tags).items():
        set_tag(name, value)


def log_artifact(local_path: str | os.PathLike[str], artifact_path: str | None = None) -> None:
    """Keep a copy of a local file, or of a folder, in the folder ``artifact_path`` of the run's artifacts.

    Raises
    ------
    FileNotFoundError
        If there is nothing at ``local_path``.
    """
    path = os.fspath(local_path)
    name = os.path.basename(os.path.abspath(path))
    if os.path.isdir(path):
        log_artifacts(path, "%s/%s" % (artifact_path, name) if artifact_path else name)
        return
    target = _path("%s/%s" % (artifact_path, name) if artifact_path else name)
    spool = current()
    if spool is not None:
        spool.copy_artifact(path, target)


def log_artifacts(local_dir: str | os.PathLike[str], artifact_path: str | None = None) -> None:
    """Keep a copy of every file of a local folder in the folder ``artifact_path`` of the run's artifacts."""
    root = os.fspath(local_dir)
    if not os.path.isdir(root):
        raise NotADirectoryError("%s is no folder" % root)
    spool = current()
    for folder, _, files in os.walk(root):
        for file in sorted(files):
            source = os.path.join(folder, file)
            relative = os.path.relpath(source, root).replace(os.sep, "/")
            target = _path("%s/%s" % (artifact_path, relative) if artifact_path else relative)
            if spool is not None and os.path.isfile(source):
                spool.copy_artifact(source, target)


def log_text(text: str, artifact_file: str) -> None:
    """Keep a text as an artifact, encoded as UTF-8."""
    if not isinstance(text, str):
        raise TypeError("the text is a str, not %s" % type(text).__name__)
    _put(artifact_file, text.encode("utf-8", "replace"))


def log_dict(dictionary: Any, artifact_file: str) -> None:
    """Keep a dictionary or list as JSON; files ending in ``.yml`` too, since JSON is YAML."""
    _put(artifact_file, _json(dictionary))


def log_image(name: str, image: Any, step: int | None = None) -> None:
    """Keep a picture as ``images/<name>.png``, or under ``name`` itself if that ends like a picture's file.

    Parameters
    ----------
    name : str
        Its name; with ``step`` the file becomes ``images/<name>/<step>.png``.
    image : path, PIL image, Matplotlib figure or pyplot, array, tensor or nested list
        Arrays are (height, width) or (height, width, channels): integers 0 to 255, floats 0 to 1.
    """
    stem, ending = os.path.splitext(_name(name))
    if ending.lower() not in PICTURE_ENDINGS:
        stem, ending = "images/" + name, ".png"
    if step is not None:
        stem = "%s/%d" % (stem, operator.index(step))
    if isinstance(image, (str, os.PathLike)):
        source = os.fspath(image)
        target = _path(stem + (os.path.splitext(source)[1] or ending))
        spool = current()
        if not os.path.isfile(source):
            raise FileNotFoundError("%s is no file" % source)
        if spool is not None:
            spool.copy_artifact(source, target)
        return
    _put(stem + ".png", picture_png(image))


def log_figure(figure: Any, artifact_file: str) -> None:
    """Keep a Matplotlib figure in the format its file's ending names, or a Plotly figure as HTML."""
    if hasattr(figure, "savefig"):
        buffer = io.BytesIO()
        ending = os.path.splitext(artifact_file)[1][1:] or "png"
        figure.savefig(buffer, format=ending, bbox_inches="tight")
        _put(artifact_file, buffer.getvalue())
    elif hasattr(figure, "to_html"):
        _put(artifact_file, figure.to_html(include_plotlyjs="cdn", auto_open=False).encode("utf-8"))
    else:
        raise TypeError("a figure is Matplotlib's or Plotly's, not %s" % type(figure).__name__)


def log_table(name: str, data: Any) -> None:
    """Keep a table as ``tables/<name>.json`` with ``columns`` and ``data`` (a list a row).

    Parameters
    ----------
    name : str
        Its name; one that ends in ``.json`` is the artifact's path itself.
    data : mapping of columns to lists, list of mappings, or DataFrame
        The values.
    """
    if hasattr(data, "to_dict") and hasattr(data, "columns"):
        split = data.to_dict(orient="split")
        columns, rows = list(split["columns"]), list(split["data"])
    elif isinstance(data, Mapping):
        columns = list(data)
        values = [list(data[column]) if _is_list(data[column]) else [data[column]] for column in columns]
        if len({len(column) for column in values}) > 1:
            raise ValueError("a table's columns have equal lengths")
        rows = [[column[n] for column in values] for n in range(len(values[0]) if values else 0)]
    elif _is_list(data) and all(isinstance(row, Mapping) for row in data):
        columns = list(dict.fromkeys(column for row in data for column in row))
        rows = [[row.get(column) for column in columns] for row in data]
    else:
        raise TypeError("a table is a mapping of columns, a list of mappings or a DataFrame")
    target = name if _name(name).endswith(".json") else "tables/%s.json" % name
    _put(target, _json({"columns": columns, "data": rows}))


def log_list(name: str, values: Iterable[Any]) -> None:
    """Log a metric's values at once, at steps 0, 1, 2, …."""
    if isinstance(values, (str, bytes)):
        raise TypeError("the values are numbers, not text")
    for step, value in enumerate([_number(value) for value in values]):
        _log_metric(_name(name), value, step)


def log_row(name: str, **columns: Any) -> None:
    """Log one row of a table of numbers: each column is the metric ``<name>.<column>``, each call the next step."""
    checked = {"%s.%s" % (_name(name), column): _number(value) for column, value in columns.items()}
    step = _next_step(name, None)
    for column, value in checked.items():
        _log_metric(column, value, step)


def log_confusion_matrix(name: str, matrix: Any, labels: Sequence[Any] | None = None) -> None:
    """Keep a confusion matrix as ``confusion_matrix/<name>.json`` (Azure ML's schema) and as a picture beside it.

    Parameters
    ----------
    name : str
        Its name.
    matrix : nested list or array, shape (n_classes, n_classes), or Azure ML's dictionary
        Rows are the true classes.
    labels : sequence, optional
        The classes' names.
    """
    if isinstance(matrix, Mapping):
        data = matrix.get("data", matrix)
        labels, matrix = data.get("class_labels", labels), data["matrix"]
    matrix = matrix.tolist() if hasattr(matrix, "tolist") else matrix
    rows = square(matrix)
    names = [str(label) for label in labels] if labels is not None else [str(n) for n in range(len(rows))]
    if len(names) != len(rows):
        raise ValueError("%d labels for %d classes" % (len(names), len(rows)))
    document = {
        "schema_type": "confusion_matrix",
        "schema_version": "1.0.0",
        "data": {"class_labels": names, "matrix": matrix},
    }
    _put("confusion_matrix/%s.json" % _name(name), _json(document))
    _put("confusion_matrix/%s.png" % name, draw_matrix(rows, names))


def _log_text(kind: str, name: str, value: Any, most: int) -> None:
    try:
        text = str(value)
    except ValueError:
        if not isinstance(value, int):
            raise
        text = hex(value)  # Python writes no more than 4300 digits
    spool = current()
    if spool is None or not _is_key(name):
        return
    if len(text) > most:
        warn_once("the %s %r is cut to %d characters" % (kind, name, most), "cut " + kind)
    spool.append({kind: [name, text[:most]]})


def _log_metric(name: str, value: float, step: int | None) -> None:
    spool = current()
    step = _next_step(name, step)
    if spool is None or not _is_key(name):
        return
    if not LEAST_STEP <= step <= MAX_STEP:
        warn_once("a value of the metric %r is left out: its step has more than 64 bits" % name, "step")
        return
    sent: float | str = value
    if not math.isfinite(value):
        sent = "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"
    spool.append({"metric": [name, sent, step]})


def _next_step(name: str, step: int | None) -> int:
    with _steps_lock:
        chosen = _steps.get(name, -1) + 1 if step is None else operator.index(step)
        if LEAST_STEP <= chosen <= MAX_STEP:
            _steps[name] = chosen
    return chosen


def _is_key(name: str) -> bool:
    """Return whether a name is short enough to be kept; warn once if not."""
    if len(name) <= MAX_KEY:
        return True
    shown = name[:40]
    warn_once("what is logged as '%s…' is left out: its name has more than %d characters" % (shown, MAX_KEY), "key")
    return False


def _put(path: str, content: bytes) -> None:
    target = _path(path)
    spool = current()
    if spool is not None:
        spool.put_artifact(target, content)


def _name(name: Any) -> str:
    if not isinstance(name, str) or not name:
        raise TypeError("a name is a str that is not empty, not %r" % (name,))
    return name


def _number(value: Any) -> float:
    if isinstance(value, (str, bytes, bytearray)):
        raise TypeError("a metric's value is a number, not %s" % type(value).__name__)
    try:
        return float(value)
    except OverflowError:  # an int beyond what a float can say
        return math.inf if value > 0 else -math.inf


def _mapping(values: Any) -> Mapping[str, Any]:
    if not isinstance(values, Mapping):
        raise TypeError("names and values come as a mapping, not %s" % type(values).__name__)
    return values


def _path(path: Any) -> str:
    """Return an artifact path, or refuse one that could leave its root."""
    if not isinstance(path, str):
        raise TypeError("an artifact's path is a str, not %s" % type(path).__name__)
    if not path or "\\" in path or "\0" in path or any(part in ("", ".", "..") for part in path.split("/")):
        raise ValueError('an artifact\'s path is relative and has no "..": %r' % path)
    return path


def _is_list(value: Any) -> bool:
    return isinstance(value, (list, tuple)) or (hasattr(value, "tolist") and hasattr(value, "__len__"))


def _json(value: Any) -> bytes:
    return json.dumps(value, indent=2, default=_plain).encode("ascii")


def _plain(value: Any) -> Any:
    """Return numpy scalars and arrays as Python's, anything else as text."""
    return value.tolist() if hasattr(value, "tolist") else str(value)
