"""BentoML with two workers."""

from __future__ import annotations

import json
import os

import bentoml
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from work import load_digits, load_photos

KIND = os.environ["BENCH_KIND"]
LOADED = {}


async def score(request: Request) -> JSONResponse:
    return JSONResponse(LOADED[KIND](await request.body()))


app = Starlette(routes=[Route("/score", score, methods=["POST"])])


@bentoml.asgi_app(app, path="/")
@bentoml.service(workers=2, http={"host": "127.0.0.1"})
class Bench:
    def __init__(self) -> None:
        work = load_digits() if KIND == "w1" else load_photos()
        LOADED[KIND] = (lambda body: work(json.loads(body)["data"])) if KIND == "w1" else work

    @bentoml.api
    def nothing(self) -> str:
        return ""
