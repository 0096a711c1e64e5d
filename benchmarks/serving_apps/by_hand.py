"""FastAPI as people write it by hand: plain functions, which run in its threads."""

from __future__ import annotations

import os

from fastapi import Body, FastAPI
from pydantic import BaseModel
from work import load_digits, load_photos

app = FastAPI()
score = load_digits() if os.environ["BENCH_KIND"] == "w1" else load_photos()

if os.environ["BENCH_KIND"] == "w1":

    class Rows(BaseModel):
        data: list[list[float]]

    @app.post("/score")
    def score_rows(rows: Rows) -> list[int]:
        return score(rows.data)

else:

    @app.post("/score")
    def score_photo(body: bytes = Body(media_type="image/jpeg")) -> list[tuple[int, float]]:
        return score(body)
