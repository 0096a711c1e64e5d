"""Artifacts: files, texts, dictionaries, tables, pictures and figures."""

from __future__ import annotations

import io
import os
from typing import Any, Mapping

from ..mistakes import forgiven, forgiving
from ..spool import current
from .checks import checked_name, checked_path, checked_step, encode_json, is_list, put

PICTURE_ENDINGS = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".webp", ".svg", ".tif", ".tiff", ".pdf")


@forgiving
def log_artifact(local_path: str | os.PathLike[str], artifact_path: str | None = None) -> None:
    """Keep a copy of a local file, or of a folder, in the folder ``artifact_path`` of the run's artifacts."""
    path = os.fspath(local_path)
    if not os.path.exists(path):
        raise FileNotFoundError("there is no file or folder %s in %s" % (path, os.getcwd()))
    name = os.path.basename(os.path.abspath(path))
    if os.path.isdir(path):
        log_artifacts(path, "%s/%s" % (artifact_path, name) if artifact_path else name)
        return
    target = checked_path("%s/%s" % (artifact_path, name) if artifact_path else name)
    spool = current()
    if spool is not None:
        spool.copy_artifact(path, target)


@forgiving
def log_artifacts(local_dir: str | os.PathLike[str], artifact_path: str | None = None) -> None:
    """Keep a copy of every file of a local folder in the folder ``artifact_path`` of the run's artifacts."""
    root = os.fspath(local_dir)
    if not os.path.isdir(root):
        raise NotADirectoryError("there is no folder %s in %s" % (root, os.getcwd()))
    spool = current()
    for folder, _, files in os.walk(root):
        for file in sorted(files):
            source = os.path.join(folder, file)
            relative = os.path.relpath(source, root).replace(os.sep, "/")
            with forgiven("log_artifacts"):
                target = checked_path("%s/%s" % (artifact_path, relative) if artifact_path else relative)
                if spool is not None and os.path.isfile(source):
                    spool.copy_artifact(source, target)


@forgiving
def log_text(text: str, artifact_file: str) -> None:
    """Keep a text as an artifact, encoded as UTF-8; the text comes first, as in MLflow."""
    if not isinstance(text, str):
        raise TypeError("the text is a str, not %s" % type(text).__name__)
    put(artifact_file, text.encode("utf-8", "replace"))


@forgiving
def log_dict(dictionary: Any, artifact_file: str) -> None:
    """Keep a dictionary or list as JSON; files ending in ``.yml`` too, since JSON is YAML. Either order."""
    if isinstance(dictionary, str) and not isinstance(artifact_file, str):
        dictionary, artifact_file = artifact_file, dictionary
    put(artifact_file, encode_json(dictionary))


@forgiving
def log_image(name: str, image: Any, step: int | None = None) -> None:
    """Keep a picture as ``images/<name>.png``, or under ``name`` itself if that ends like a picture's file.

    The picture may come first, as in MLflow.

    Parameters
    ----------
    name : str
        Its name; with ``step`` the file becomes ``images/<name>/<step>.png``.
    image : path, PIL image, Matplotlib figure or pyplot, array, tensor or nested list
        Arrays are (height, width) or (height, width, channels): integers 0 to 255, floats 0 to 1.
    """
    from ..pictures import picture_png  # few jobs log one

    if not isinstance(name, str) and isinstance(image, str):
        name, image = image, name
    stem, ending = os.path.splitext(checked_name(name))
    if ending.lower() not in PICTURE_ENDINGS:
        stem, ending = "images/" + name, ".png"
    if step is not None:
        stem = "%s/%d" % (stem, checked_step(step))
    if isinstance(image, (str, os.PathLike)):
        source = os.fspath(image)
        target = checked_path(stem + (os.path.splitext(source)[1] or ending))
        spool = current()
        if not os.path.isfile(source):
            raise FileNotFoundError("there is no file %s in %s" % (source, os.getcwd()))
        if spool is not None:
            spool.copy_artifact(source, target)
        return
    put(stem + ".png", picture_png(image))


@forgiving
def log_figure(figure: Any, artifact_file: str) -> None:
    """Keep a Matplotlib figure in the format its file's ending names, or a Plotly figure as HTML. Either order."""
    if isinstance(figure, str) and not isinstance(artifact_file, str):
        figure, artifact_file = artifact_file, figure
    checked_path(artifact_file)
    if hasattr(figure, "savefig"):
        buffer = io.BytesIO()
        ending = os.path.splitext(artifact_file)[1][1:] or "png"
        figure.savefig(buffer, format=ending, bbox_inches="tight")
        put(artifact_file, buffer.getvalue())
    elif hasattr(figure, "to_html"):
        put(artifact_file, figure.to_html(include_plotlyjs="cdn", auto_open=False).encode("utf-8"))
    else:
        raise TypeError("a figure is Matplotlib's or Plotly's, not %s" % type(figure).__name__)


@forgiving
def log_table(name: str, data: Any) -> None:
    """Keep a table as ``tables/<name>.json`` with ``columns`` and ``data`` (a list a row).

    The values may come first, as in MLflow.

    Parameters
    ----------
    name : str
        Its name; one that ends in ``.json`` is the artifact's path itself.
    data : mapping of columns to lists, list of mappings, or DataFrame
        The values.
    """
    if not isinstance(name, str) and isinstance(data, str):
        name, data = data, name
    if hasattr(data, "to_dict") and hasattr(data, "columns"):
        split = data.to_dict(orient="split")
        columns, rows = list(split["columns"]), list(split["data"])
    elif isinstance(data, Mapping):
        columns = list(data)
        values = [list(data[column]) if is_list(data[column]) else [data[column]] for column in columns]
        lengths = sorted({len(column) for column in values})
        if len(lengths) > 1:
            raise ValueError("a table's columns have equal lengths; these have %s" % lengths)
        rows = [[column[n] for column in values] for n in range(len(values[0]) if values else 0)]
    elif is_list(data) and all(isinstance(row, Mapping) for row in data):
        columns = list(dict.fromkeys(column for row in data for column in row))
        rows = [[row.get(column) for column in columns] for row in data]
    else:
        raise TypeError("a table is a mapping of columns, a list of mappings or a DataFrame")
    target = name if checked_name(name).endswith(".json") else "tables/%s.json" % name
    put(target, encode_json({"columns": columns, "data": rows}, "log_table"))
