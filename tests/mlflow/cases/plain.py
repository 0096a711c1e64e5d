"""Outcomes as plain JSON without what differs from one time to the next."""

from __future__ import annotations

import math
import re
from typing import Any

_ID = re.compile(r"(?<![0-9a-f])(m-)?[0-9a-f]{32}(?![0-9a-f])")
_RANDOM_NAME = re.compile(r"[a-z]+-[a-z]+-\d{1,4}|[a-z]+_[a-z]+_[0-9a-f]{6}")
_LOCATION = re.compile(r"(?<=mlflow-artifacts:/)\d+")
_EXPERIMENT_KEYS = {"experiment_id", "experiment_ids"}
_UNORDERED = {"tags", "params"}
# Milliseconds since 1970, from 2014 on: no test writes such a number itself.
_NOW_MS = 1_400_000_000_000


def plain(value: Any) -> Any:
    """Turn MLflow's entities and pages into JSON values."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list) and hasattr(value, "token"):
        return {"items": [plain(item) for item in value], "more": bool(getattr(value, "token"))}  # noqa: B009
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted(plain(item) for item in value)
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if isinstance(value, float) and not math.isfinite(value):
        return repr(value)
    if value is None or isinstance(value, (str, int, float)):
        return value
    if hasattr(value, "to_dictionary"):
        return plain(value.to_dictionary())
    if hasattr(value, "__iter__"):
        return plain(dict(value))
    if hasattr(value, "__dict__"):
        return plain({key.lstrip("_"): item for key, item in vars(value).items()})
    return str(value)


class Normaliser:
    """Replaces ids by the order in which they appear, and times and random names by a word."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._seen: dict[str, str] = {}

    def normal(self, value: Any, key: str = "") -> Any:
        """Return a value with everything that differs from one time to the next replaced."""
        if isinstance(value, dict):
            return {self._text(name, ""): self.normal(item, name) for name, item in value.items()}
        if isinstance(value, list):
            # The protocol promises no order for tags and parameters.
            unordered = key in _UNORDERED and all(isinstance(item, dict) and "key" in item for item in value)
            items = sorted(value, key=lambda item: str(item["key"])) if unordered else value
            return [self.normal(item, key) for item in items]
        if isinstance(value, str):
            return self._text(value, key)
        if isinstance(value, int) and value >= _NOW_MS:
            return "<time>"
        return value

    def _text(self, text: str, key: str) -> str:
        if key in _EXPERIMENT_KEYS and text.isdecimal():
            return self._label(text, "experiment")
        text = text.replace(self._prefix, "~")
        text = _ID.sub(lambda found: self._label(found[0], "model" if found[1] else "id"), text)
        text = _LOCATION.sub(lambda found: self._label(found[0], "experiment"), text)
        if _RANDOM_NAME.fullmatch(text) and not key.startswith("given"):
            return "<random name>"
        return text

    def _label(self, text: str, kind: str) -> str:
        if kind == "experiment" and text == "0":
            return text
        count = sum(label.startswith(f"<{kind} ") for label in self._seen.values())
        return self._seen.setdefault(f"{kind}:{text}", f"<{kind} {count + 1}>")
