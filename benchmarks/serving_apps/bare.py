"""The limit: an ASGI app with nothing but the model. W1 on the event loop, W2 in two threads with the quick decoder."""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor

import cv2
import msgspec
import numpy as np
import onnxruntime
import simplejpeg
from work import MEAN, MODELS, STD, best_five, open_session


class Rows(msgspec.Struct):
    data: list[list[float]]


KIND = os.environ["BENCH_KIND"]
decode, encode = msgspec.json.Decoder(Rows).decode, msgspec.json.Encoder().encode
session = open_session(onnxruntime, MODELS / ("digits.onnx" if KIND == "w1" else "mobilenet.onnx"))
input_name = session.get_inputs()[0].name
output_names = [session.get_outputs()[0].name]
scale, shift = 1 / (255 * np.array(STD, np.float32)), np.array(MEAN, np.float32) / np.array(STD, np.float32)
threads = ThreadPoolExecutor(2)
cv2.setNumThreads(1)


def score_rows(body: bytes) -> bytes:
    rows = np.array(decode(body).data, np.float32)
    return encode(session.run(output_names, {input_name: rows})[0].tolist())


def score_photo(body: bytes) -> bytes:
    pixels = simplejpeg.decode_jpeg(body)
    height, width = pixels.shape[:2]
    factor = 256 / min(height, width)
    pixels = cv2.resize(pixels, (round(width * factor), round(height * factor)), interpolation=cv2.INTER_AREA)
    top, left = (pixels.shape[0] - 224) // 2, (pixels.shape[1] - 224) // 2
    crop = pixels[top : top + 224, left : left + 224].astype(np.float32)
    batch = np.ascontiguousarray((crop * scale - shift).transpose(2, 0, 1))[None]
    return encode(best_five(np, session.run(output_names, {input_name: batch})[0][0]))


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        for kind in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{kind}.complete"})
        return
    parts = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            break
    body = b"".join(parts)
    if KIND == "w1":
        answer = score_rows(body)
    else:
        answer = await asyncio.get_running_loop().run_in_executor(threads, score_photo, body)
    head = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(answer))]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    await send({"type": "http.response.body", "body": answer})
