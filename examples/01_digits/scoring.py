"""Ask an endpoint over plain HTTP, as any program would; nothing here is Penstock's."""

from __future__ import annotations

import base64
import http.client
import io
import json
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from PIL import Image


@dataclass(frozen=True)
class Picture:
    """One held-out picture: the PNG and the digit it shows."""

    png: bytes
    label: str

    @property
    def request(self) -> dict[str, str]:
        """Return the JSON body that asks about this picture."""
        return {"image": base64.b64encode(self.png).decode("ascii")}

    @property
    def tensor(self) -> dict[str, list[list[float]]]:
        """Return the JSON body that asks about this picture's 64 values in 0 ... 1."""
        with Image.open(io.BytesIO(self.png)) as image:
            return {"data": [[value / 240 for value in image.tobytes()]]}


class Line:
    """One kept connection to a scoring URL."""

    def __init__(self, url: str, key: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname
        self._path = parts.path
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        self._connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=30)

    def score(self, body: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the endpoint's predictions, each with ``label``, ``index`` and ``probability``."""
        self._connection.request("POST", self._path, json.dumps(body), self._headers)
        response = self._connection.getresponse()
        text = response.read()
        if response.status != 200:
            raise OSError(f"{self._path} answered {response.status}: {text.decode(errors='replace')}")
        predictions: list[dict[str, Any]] = json.loads(text)["predictions"]
        return predictions


@dataclass(frozen=True)
class Scored:
    """How an endpoint did on all pictures."""

    accuracy: float
    median_ms: float
    p95_ms: float


def score_all(line: Line, pictures: Sequence[Picture]) -> Scored:
    """Score every picture with a request of its own."""
    correct, times_ms = 0, []
    for picture in pictures:
        began = time.perf_counter()
        (prediction,) = line.score(picture.request)
        times_ms.append((time.perf_counter() - began) * 1000)
        correct += prediction["label"] == picture.label
    times_ms.sort()
    return Scored(correct / len(pictures), times_ms[len(times_ms) // 2], times_ms[len(times_ms) * 95 // 100])


@dataclass
class Probe:
    """What requests saw while a deployment was being updated."""

    answered: int = 0
    failed: int = 0


@contextmanager
def asking_meanwhile(url: str, key: str, picture: Picture) -> Iterator[Probe]:
    """Keep asking from a thread of its own; where nothing answers yet, do nothing."""
    probe, stop, line = Probe(), threading.Event(), Line(url, key)
    try:
        line.score(picture.request)
    except OSError:
        yield probe
        return

    def ask() -> None:
        while not stop.wait(0.005):
            try:
                line.score(picture.request)
                probe.answered += 1
            except (OSError, http.client.HTTPException):
                probe.failed += 1

    asker = threading.Thread(target=ask)
    asker.start()
    try:
        yield probe
    finally:
        stop.set()
        asker.join()
