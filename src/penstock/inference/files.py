"""Which file of a model folder is the model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from penstock.entities.errors import NotFoundError, UsageError

MODEL_FILE = "model.onnx"


def find_model_file(folder: Path) -> Path:
    """Return the ONNX file of a model folder: ``model.onnx`` or the only ``*.onnx``, also one folder deeper.

    Raises
    ------
    NotFoundError
        If there is none.
    UsageError
        If there are several.
    """
    if folder.is_file():
        return folder
    if not folder.is_dir():
        raise NotFoundError(f"there is no model folder {folder}")
    if (folder / MODEL_FILE).is_file():
        return folder / MODEL_FILE
    found = sorted(folder.glob("*.onnx")) or sorted(folder.glob("*/*.onnx"))
    if len(found) > 1:
        raise UsageError(
            f"{folder.name} holds {len(found)} ONNX files",
            hint="Name the one to serve model.onnx, or register it alone.",
        )
    if not found:
        there = ", ".join(sorted(path.name for path in folder.iterdir())[:8]) or "nothing"
        raise NotFoundError(
            f"there is no ONNX file in {folder.name}",
            hint=f"It holds: {there}. Add model.onnx, or deploy with code_configuration and a score.py.",
        )
    return found[0]


def model_path(paths: Sequence[str]) -> str | None:
    """Return which of a model's files :func:`find_model_file` would find, None where there is none or several."""
    if MODEL_FILE in paths:
        return MODEL_FILE
    found = [path for path in paths if path.endswith(".onnx") and "/" not in path]
    found = found or [path for path in paths if path.endswith(".onnx") and path.count("/") == 1]
    return found[0] if len(found) == 1 else None
