from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from penstock.shim import context, mistakes, spool
from penstock.shim.log import values


class Job:
    """A spool folder as the shim sees it, and what it holds."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def events(self):
        path = self.folder / "events.jsonl"
        return [json.loads(line) for line in path.read_text("ascii").splitlines()] if path.exists() else []

    def values(self, kind: str):
        return [event[kind] for event in self.events if kind in event]

    def artifact(self, path: str) -> bytes:
        assert path in self.values("artifact")
        return (self.folder / "artifacts" / path).read_bytes()

    def document(self, path: str):
        return json.loads(self.artifact(path))

    def picture(self, path: str):
        with Image.open(io.BytesIO(self.artifact(path))) as image:
            image.load()
            return image.mode, np.asarray(image)


@pytest.fixture
def job(tmp_path, monkeypatch):
    folder = tmp_path / "spool"
    folder.mkdir()
    monkeypatch.setenv("PENSTOCK_SPOOL", str(folder))
    monkeypatch.setattr(spool, "_warned", set())
    monkeypatch.setattr(values, "_steps", {})
    monkeypatch.setattr(mistakes, "_counts", {})
    monkeypatch.setattr(spool, "_current", None)
    monkeypatch.setattr(context, "_contexts", {})
    return Job(folder)


@pytest.fixture
def strict(monkeypatch):
    """Mistakes are raised, as a test of a training script wants it."""
    monkeypatch.setenv("PENSTOCK_LOG_STRICT", "1")
