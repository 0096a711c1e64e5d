"""Preprocessing once more, written only from its documentation: plain numpy, Pillow for decoding alone.

``python -m tests.inference.golden.reference`` draws the tiny pictures and writes them with the tensors that this gives
to ``pictures.npz``. The tests hold what Penstock computes against that file.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

STORE = Path(__file__).with_name("pictures.npz")
Pixels = Any
IMAGENET = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
CASES: dict[str, dict[str, Any]] = {
    "as_it_is": {"scale": 1.0, "layout": "NHWC"},
    "stretched": {"width": 8, "height": 6, "scale": 1.0},
    "classifier": {"resize": {"size": 10, "fit": "shortest"}, "crop": {"width": 8, "height": 8}, **IMAGENET},
    "letterbox": {
        "resize": {"size": 12, "fit": "longest"},
        "pad": {"width": 12, "height": 12, "colour": [114, 20, 240]},
        "scale": 1.0,
        "layout": "NHWC",
    },
    "bgr_bytes": {"mode": "BGR", "resize": {"width": 5, "height": 5}, "scale": 1.0, "layout": "NHWC", "dtype": "uint8"},
    "grey_flat": {"mode": "L", "width": 8, "height": 8, "layout": "flat", "mean": [0.5], "std": [0.25]},
    "corner": {
        "resize": {"size": 9, "fit": "shortest", "interpolation": "nearest"},
        "crop": {"width": 4, "height": 5, "anchor": "bottom-right"},
        "scale": 1.0,
        "layout": "NHWC",
    },
    "box_half": {"resize": {"width": 4, "height": 4, "interpolation": "box"}, "scale": 1.0, "layout": "NHWC"},
    "no_antialias": {
        "resize": {"width": 6, "height": 6, "antialias": False}, "scale": 1.0, "layout": "NHWC", "orientation": "exif",
    },
    "upright": {"orientation": "exif", "scale": 1.0, "layout": "NHWC"},
    "padded_left": {"pad": {"width": 20, "height": 30, "colour": 7, "anchor": "left"}, "scale": 1.0, "layout": "NHWC"},
}  # fmt: skip


def draw(width: int, height: int, seed: int = 0) -> Pixels:
    """Return a smooth picture with a few hard edges: (height, width, 3), uint8."""
    y, x = np.mgrid[0:height, 0:width]
    planes = [127 + 100 * np.sin((x * (i + 1) + y * (3 - i)) / 7 + seed) for i in range(3)]
    pixels = np.stack(planes, axis=-1)
    pixels[: height // 3, : width // 2] = [250, 5, 120]
    return np.clip(pixels, 0, 255).astype(np.uint8)


def encode(picture: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def pictures() -> dict[str, bytes]:
    rgb = Image.fromarray(draw(23, 17))
    alpha = rgb.convert("RGBA")
    alpha.putalpha(Image.fromarray((np.arange(23 * 17).reshape(17, 23) % 256).astype(np.uint8)))
    sixteen = (np.arange(19 * 11, dtype=np.uint32).reshape(11, 19) * 313 % 65536).astype(np.uint16)
    found = {
        "png": encode(rgb, "PNG"),
        "grey": encode(rgb.convert("L"), "PNG"),
        "grey_alpha": encode(alpha.convert("LA"), "PNG"),
        "alpha": encode(alpha, "PNG"),
        "palette": encode(rgb.quantize(16), "PNG", transparency=3),
        "bilevel": encode(rgb.convert("1"), "PNG"),
        "sixteen_bit": encode(Image.fromarray(sixteen), "PNG"),
        "bmp": encode(rgb, "BMP"),
        "gif": encode(rgb.quantize(32), "GIF"),
        "jpeg": encode(Image.fromarray(draw(37, 29, 3)), "JPEG", quality=92),
        "jpeg_grey": encode(rgb.convert("L"), "JPEG", quality=92),
        "jpeg_cmyk": encode(rgb.convert("CMYK"), "JPEG", quality=95),
        "tall": encode(Image.fromarray(draw(3, 151)), "PNG"),
        "wide": encode(Image.fromarray(draw(151, 3)), "PNG"),
        "dot": encode(Image.fromarray(draw(1, 1)), "PNG"),
    }
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        found[f"exif_{orientation}"] = encode(Image.fromarray(draw(24, 16)), "JPEG", quality=95, exif=exif)
    return found


def compute(content: bytes, case: dict[str, Any]) -> Pixels | None:
    """Return the tensor of one picture, None where the picture is too small for the crop."""
    pixels = decode(content, "L" if case.get("mode") == "L" else "RGB", case.get("orientation", "ignore"))
    resize = case.get("resize") or ({"width": case["width"], "height": case["height"]} if "width" in case else None)
    if resize:
        pixels = resample(pixels, *target(pixels.shape[1], pixels.shape[0], resize), resize)
    if "pad" in case:
        pixels = pad(pixels, case["pad"])
    if "crop" in case:
        crop = case["crop"]
        top, left = pixels.shape[0] - crop["height"], pixels.shape[1] - crop["width"]
        if top < 0 or left < 0:
            return None
        if "anchor" not in crop:
            top, left = top // 2, left // 2
        pixels = pixels[top : top + crop["height"], left : left + crop["width"]]
    values: Pixels = pixels.astype(np.float32).reshape(pixels.shape[0], pixels.shape[1], -1)
    if case.get("mode") == "BGR":
        values = values[:, :, ::-1]
    values = values / np.float32(case.get("scale", 255.0))
    values = (values - np.float32(case.get("mean", 0))) / np.float32(case.get("std", 1))
    if case.get("layout", "NCHW") == "NCHW":
        values = values.transpose(2, 0, 1)
    if case.get("layout") == "flat":
        values = values.reshape(-1)
    return values.astype(case.get("dtype", "float32"))


def decode(content: bytes, mode: str, orientation: str) -> Pixels:
    picture = Image.open(io.BytesIO(content))
    tag = picture.getexif().get(0x0112, 1)
    if picture.mode == "I;16":
        pixels = (np.asarray(picture) // 256).astype(np.uint8)
        pixels = pixels if mode == "L" else np.repeat(pixels[:, :, None], 3, axis=2)
    elif mode == "RGB" and picture.mode in {"RGBA", "LA"}:  # transparency is dropped
        pixels = np.asarray(picture)[:, :, :-1]
        pixels = np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels
    else:
        pixels = np.asarray(picture.convert("RGBA").convert(mode) if picture.mode == "P" else picture.convert(mode))
    if orientation == "exif":
        turn = {
            2: lambda p: p[:, ::-1],
            3: lambda p: p[::-1, ::-1],
            4: lambda p: p[::-1],
            5: lambda p: np.swapaxes(p, 0, 1),
            6: lambda p: np.rot90(p, -1),
            7: lambda p: np.swapaxes(p, 0, 1)[::-1, ::-1],
            8: lambda p: np.rot90(p, 1),
        }.get(tag)
        pixels = turn(pixels) if turn else pixels
    return np.ascontiguousarray(pixels)


def target(width: int, height: int, resize: dict[str, Any]) -> tuple[int, int]:
    wide: int = resize.get("size") or resize["width"]
    high: int = resize.get("size") or resize["height"]
    fit = resize.get("fit", "stretch")
    if fit == "stretch":
        return wide, high
    scales = (wide / width, high / height)
    chosen = max(scales) if fit == "shortest" else min(scales)
    if chosen == scales[0]:
        return wide, max(1, height * wide // width)
    return max(1, width * high // height), high


def resample(pixels: Pixels, width: int, height: int, resize: dict[str, Any]) -> Pixels:
    """Return a resized picture: each axis by a matrix of weights, rounded to whole levels after each."""
    if (pixels.shape[1], pixels.shape[0]) == (width, height):
        return pixels
    kind, smooth = resize.get("interpolation", "bilinear"), resize.get("antialias", True)
    values = pixels.astype(np.float64)
    if not smooth:  # both axes at once
        values = np.einsum("yi,xj,ij...->yx...", weights(pixels.shape[0], height, kind, smooth),
                           weights(pixels.shape[1], width, kind, smooth), values)  # fmt: skip
        return np.clip(np.floor(values + 0.5), 0, 255).astype(np.uint8)
    for axis, length in ((1, width), (0, height)):
        if values.shape[axis] != length:
            values = np.moveaxis(
                np.tensordot(weights(values.shape[axis], length, kind, smooth), values, (1, axis)), 0, axis
            )
            values = np.clip(np.floor(values + 0.5), 0, 255)
    return values.astype(np.uint8)


def weights(old: int, new: int, kind: str, smooth: bool) -> Pixels:
    """Return the matrix (new, old) of an axis: a triangle, a box, or the one pixel nearest to each centre."""
    centres = (np.arange(new) + 0.5) * old / new
    positions = np.arange(old) + 0.5
    if kind == "nearest":
        return (np.arange(old)[None] == np.floor(centres)[:, None]).astype(float)
    reach = max(old / new, 1.0) if smooth else 1.0
    distances = (positions[None] - centres[:, None]) / reach
    made = np.clip(1 - np.abs(distances), 0, None) if kind == "bilinear" else (
        (distances > -0.5) & (distances <= 0.5)
    ).astype(float)  # fmt: skip
    if not smooth:  # at the edges the outermost pixel stands for what is not there
        made[:, 0] += np.clip(0.5 - centres, 0, None)
        made[:, -1] += np.clip(centres - (old - 0.5), 0, None)
        return made
    return made / made.sum(axis=1, keepdims=True)


def pad(pixels: Pixels, settings: dict[str, Any]) -> Pixels:
    height, width = max(pixels.shape[0], settings["height"]), max(pixels.shape[1], settings["width"])
    made = np.empty((height, width, *pixels.shape[2:]), np.uint8)
    made[:] = settings["colour"]
    top = (height - pixels.shape[0]) // 2
    left = 0 if settings.get("anchor") == "left" else (width - pixels.shape[1]) // 2
    made[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
    return made


def main() -> None:
    stored: dict[str, Any] = {"cases": np.frombuffer(json.dumps(CASES).encode(), np.uint8)}
    for name, content in pictures().items():
        stored[f"picture/{name}"] = np.frombuffer(content, np.uint8)
        for case, settings in CASES.items():
            tensor = compute(content, settings)
            if tensor is not None:
                stored[f"tensor/{name}/{case}"] = tensor
    np.savez_compressed(STORE, **stored)


if __name__ == "__main__":
    main()
