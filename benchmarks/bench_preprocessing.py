"""How many pictures a second does one core bring into a model's input, by each decoder and step, and are they right?

``PENSTOCK_DATA_DIR=… python -m benchmarks.bench_preprocessing``. On the photos of ``imagenet/images``; the thread's own
processor time is measured, so a busy machine changes little. Both decoders take turns, picture set by picture set.
"""

from __future__ import annotations

import io
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.measuring import Comparison, Result, print_results
from penstock.entities.image import ImagePreprocessing
from penstock.plugins import load_module

ROUNDS = 7
LARGE = 4000
STEPS: dict[str, dict[str, Any]] = {
    "decode": {},
    "decode, short side 256": {"resize": {"size": 256, "fit": "shortest"}},
    "the classifier's whole": {
        "resize": {"size": 256, "fit": "shortest"},
        "crop": {"width": 224, "height": 224},
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
    },
    "the same, antialias: false": {
        "resize": {"size": 256, "fit": "shortest", "antialias": False},
        "crop": {"width": 224, "height": 224},
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
    },
    "stretched to 224": {"width": 224, "height": 224},
    "stretched, antialias: false": {"resize": {"width": 224, "height": 224, "antialias": False}},
}
TAKES_NO_TENSOR = 2
AIMS = {"decode": 1.1, "decode, short side 256": 1.2, "the classifier's whole": 1.2}


def measure() -> Iterator[Result | Comparison]:
    """Yield pictures a second per core, decoder ``fast`` beside ``pillow``, and how many photos are recognised."""
    folder = Path(os.environ.get("PENSTOCK_DATA_DIR", "")) / "imagenet"
    if not folder.is_dir():
        print("PENSTOCK_DATA_DIR names no folder with imagenet/; nothing is measured", file=sys.stderr)
        return
    photos = json.loads((folder / "images.json").read_text())
    contents = [(folder / "images" / Path(photo["file"]).name).read_bytes() for photo in photos]
    for number, (name, keys) in enumerate(STEPS.items()):
        rates = _rates(contents, keys, pixels_only=number < TAKES_NO_TENSOR)
        note = "" if number < TAKES_NO_TENSOR else _top_1(folder, photos, contents, keys)
        yield Comparison(name, rates["fast"], rates["pillow"], "/s", AIMS.get(name, 1.2), "pillow", note)
    large = [_enlarged(content) for content in contents[:6]]
    rates = _rates(large, STEPS["the classifier's whole"], pixels_only=False)
    yield Comparison(f"the whole, of {LARGE} pixels wide", rates["fast"], rates["pillow"], "/s", 1.5, "pillow")
    yield _tables(contents)


def _rates(contents: Sequence[bytes], keys: dict[str, Any], *, pixels_only: bool) -> dict[str, list[float]]:
    from penstock.inference.images import Preprocessor

    made = {d: Preprocessor(ImagePreprocessing.model_validate({**keys, "decoder": d})) for d in ("pillow", "fast")}
    rates: dict[str, list[float]] = {"pillow": [], "fast": []}
    for _ in range(ROUNDS):
        for decoder, preprocessor in made.items():
            step: Callable[[Any], object] = (
                preprocessor.pixels if pixels_only else lambda content, p=preprocessor: p.batch([content])  # type: ignore[misc]  # a default binds the loop variable
            )
            rates[decoder].append(len(contents) / _seconds(step, contents))
    return rates


def _seconds(step: Callable[[Any], object], items: Sequence[Any]) -> float:
    began = time.thread_time()
    for item in items:
        step(item)
    return time.thread_time() - began


def _top_1(folder: Path, photos: Sequence[dict[str, Any]], contents: Sequence[bytes], keys: dict[str, Any]) -> str:
    from penstock.inference.model import load_model

    right = {}
    imagenet = {name: STEPS["the classifier's whole"][name] for name in ("mean", "std")}
    for decoder in ("fast", "pillow"):
        preprocessing = ImagePreprocessing.model_validate({**keys, **imagenet, "decoder": decoder})
        model = load_model(folder / "mobilenetv2_fp32.onnx", preprocessing=preprocessing)
        answer = model.predict(list(contents), batch_size=1)
        right[decoder] = sum(p.index == photo["class_index"] for p, photo in zip(answer, photos, strict=True))
    return f"top-1 of {len(photos)}: fast {right['fast']}, pillow {right['pillow']}"


def _enlarged(content: bytes) -> bytes:
    pillow = load_module("PIL.Image")
    picture = pillow.open(io.BytesIO(content)).convert("RGB")
    picture = picture.resize((LARGE, picture.height * LARGE // picture.width), pillow.Resampling.BICUBIC)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def _tables(contents: Sequence[bytes]) -> Comparison:
    """Return the last step alone: a table of 256 values a channel beside the arithmetic it replaces."""
    numpy = load_module("numpy")
    from penstock.inference.images import Preprocessor

    keys = STEPS["the classifier's whole"]
    cropped = Preprocessor(ImagePreprocessing.model_validate(keys))
    by_table = Preprocessor(ImagePreprocessing.model_validate({name: keys[name] for name in ("mean", "std")}))
    pictures = [cropped.pixels(content) for content in contents]
    mean, std = (numpy.asarray(keys[name], numpy.float32) for name in ("mean", "std"))

    def arithmetic(pixels: Any) -> Any:
        values = (pixels.astype(numpy.float32) / numpy.float32(255) - mean) / std
        return numpy.ascontiguousarray(values.transpose(2, 0, 1))[None]

    ours, theirs = [], []
    for _ in range(ROUNDS):
        ours.append(len(pictures) / _seconds(lambda pixels: by_table.batch([pixels]), pictures))
        theirs.append(len(pictures) / _seconds(arithmetic, pictures))
    return Comparison("scale, mean, std, layout", ours, theirs, "/s", 2.0, "numpy arithmetic")


if __name__ == "__main__":
    print_results(list(measure()))
