"""Several requests as one run of an ONNX model: whether that is right and pays is measured when the model is loaded.

It is right where the model's first dimension is free and rows do not see each other, which is tried on seeded rows. The
requests of a batch stay apart: one that does not fit gets its own answer; where the run of all fails each runs alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from penstock.entities.errors import PenstockError
from penstock.entities.image import Postprocessing
from penstock.inference.contract import Array, BadInputError, TensorContract
from penstock.inference.runtimes.base import ScoreRequest, ScoreResponse

TRIED = 8
SEED = 20_240_229
MOST_MS, MOST_ASKED_MS = 10.0, 250.0
ROUNDS = 3
WORTHWHILE_GAIN = 1.3
_RELATIVE, _ABSOLUTE = 1e-3, 1e-5

Feeds = Mapping[str, Array]
Outputs = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Prepared:
    """One request, decoded: what to run, and what is wanted of the outputs."""

    feeds: dict[str, Array]
    wanted: Postprocessing


@dataclass(frozen=True, slots=True)
class BatchGain:
    """What a batch of eight gives: ``gain`` is the time of eight runs over that of one run of eight rows.

    ``is_right`` is False where the model takes no batches, or answers a row otherwise beside others.
    """

    is_right: bool
    gain: float | None = None
    batch_ms: float | None = None

    @property
    def is_worthwhile(self) -> bool:
        """Return whether requests that wait should travel together where nobody says otherwise."""
        return self.is_right and self.gain is not None and self.gain >= WORTHWHILE_GAIN

    def describe(self) -> dict[str, Any]:
        """Return JSON types."""
        answer: dict[str, Any] = {"possible": self.is_right, "on_by_default": self.is_worthwhile}
        if self.gain is not None and self.batch_ms is not None:
            answer |= {"gain_of_8": round(self.gain, 2), "batch_of_8_ms": round(self.batch_ms, 3)}
        return answer


def takes_batches(inputs: Sequence[TensorContract], outputs: Sequence[TensorContract]) -> bool:
    """Return whether the first dimension of all inputs and outputs may be free, as far as is declared."""
    is_free = all(tensor.shape is not None and len(tensor.shape) > 0 and tensor.shape[0] is None for tensor in inputs)
    return bool(inputs) and is_free and all(not t.shape or t.shape[0] is None for t in outputs)


def measure_gain(run: Callable[[dict[str, Array]], Outputs], inputs: Sequence[TensorContract]) -> BatchGain:
    """Run eight seeded rows one by one and together; compare answers and times."""
    rng = np.random.default_rng(SEED)
    rows = [{tensor.name: _row(tensor, rng) for tensor in inputs} for _ in range(TRIED)]
    try:
        together = join(rows)
        singles = [run(row) for row in rows]
        parts = split(run(together), [1] * TRIED)
    except (PenstockError, ValueError):
        return BatchGain(is_right=False)
    if parts is None or not all(_agree(a, b) for a, b in zip(singles, parts, strict=True)):
        return BatchGain(is_right=False)
    single_s = min(_timed(run, row) for row in rows)
    batch_s = min(_timed(run, together) for _ in range(ROUNDS))
    return BatchGain(True, TRIED * single_s / max(batch_s, 1e-9), batch_s * 1000.0)


def score_together(
    requests: Sequence[ScoreRequest],
    *,
    prepare: Callable[[ScoreRequest], Prepared],
    run: Callable[[dict[str, Array]], Outputs],
    answer: Callable[[Outputs, Postprocessing], ScoreResponse],
    refuse: Callable[[BadInputError], ScoreResponse],
    alone: Callable[[ScoreRequest], ScoreResponse],
) -> list[ScoreResponse | None]:
    """Return a response a request; None for one that failed in a way that is no answer of a model.

    Those whose inputs have the same dtypes and shapes but for the number of rows run together.
    """
    responses: list[ScoreResponse | None] = [None] * len(requests)
    groups: dict[object, list[tuple[int, Prepared]]] = {}
    for number, request in enumerate(requests):
        try:
            prepared = prepare(request)
        except BadInputError as error:
            responses[number] = refuse(error)
            continue
        except Exception:  # its own fault shows when it runs alone, below
            groups[number] = [(number, Prepared({}, Postprocessing()))]
            continue
        shape = tuple((name, array.dtype, array.shape[1:]) for name, array in prepared.feeds.items())
        lengths = {len(array) for array in prepared.feeds.values()}
        groups.setdefault(shape if len(lengths) == 1 else number, []).append((number, prepared))
    for members in groups.values():
        answers = _run_group(members, run, answer) if len(members) > 1 else None
        for place, (number, _) in enumerate(members):
            responses[number] = answers[place] if answers is not None else _alone(alone, requests[number])
    return responses


def _run_group(
    members: Sequence[tuple[int, Prepared]],
    run: Callable[[dict[str, Array]], Outputs],
    answer: Callable[[Outputs, Postprocessing], ScoreResponse],
) -> list[ScoreResponse] | None:
    """Return an answer a member, None where they have to run one by one."""
    lengths = [len(next(iter(prepared.feeds.values()))) for _, prepared in members]
    try:
        parts = split(run(join([prepared.feeds for _, prepared in members])), lengths)
        if parts is None:
            return None
        return [answer(part, prepared.wanted) for part, (_, prepared) in zip(parts, members, strict=True)]
    except Exception:  # whose fault it is shows when each runs alone
        return None


def _alone(alone: Callable[[ScoreRequest], ScoreResponse], request: ScoreRequest) -> ScoreResponse | None:
    try:
        return alone(request)
    except Exception:  # the caller asks again and says what is wrong
        return None


def join(feeds: Sequence[Feeds]) -> dict[str, Array]:
    """Return the rows of all as one."""
    return {name: np.concatenate([one[name] for one in feeds]) for name in feeds[0]}


def split(outputs: Outputs, lengths: Sequence[int]) -> list[dict[str, Any]] | None:
    """Return each part's rows; None where an output has another number of rows than went in."""
    total = sum(lengths)
    for value in outputs.values():
        if (value.ndim == 0 if isinstance(value, np.ndarray) else not isinstance(value, list)) or len(value) != total:
            return None
    parts, start = [], 0
    for length in lengths:
        parts.append({name: value[start : start + length] for name, value in outputs.items()})
        start += length
    return parts


def _row(tensor: TensorContract, rng: np.random.Generator) -> Array:
    """Return one row that a model may well take: numbers about zero, small indices, empty texts."""
    blank = tensor.blank()
    if blank.dtype.kind == "f":
        return rng.standard_normal(blank.shape).astype(blank.dtype)
    if blank.dtype.kind in "iub":
        return rng.integers(0, 2, blank.shape).astype(blank.dtype)
    return blank


def _agree(one: Outputs, other: Outputs) -> bool:
    return all(_is_close(value, other[name]) for name, value in one.items())


def _is_close(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        if one.shape != other.shape or one.dtype.kind != "f":
            return one.shape == other.shape and bool((one == other).all())
        return bool(np.allclose(one, other, rtol=_RELATIVE, atol=_ABSOLUTE, equal_nan=True))
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(_is_close(a, b) for a, b in zip(one, other, strict=True))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_is_close(value, other[key]) for key, value in one.items())
    if isinstance(one, float) and isinstance(other, float):
        return bool(np.isclose(one, other, rtol=_RELATIVE, atol=_ABSOLUTE, equal_nan=True))
    return bool(one == other)


def _timed(run: Callable[[dict[str, Array]], Outputs], feeds: dict[str, Array]) -> float:
    started = time.perf_counter()
    run(feeds)
    return time.perf_counter() - started
