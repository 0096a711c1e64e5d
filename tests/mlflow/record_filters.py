"""Ask a real MLflow server made-up searches and store its answers: ``python -m tests.mlflow.record_filters URL``."""

from __future__ import annotations

import json
import sys
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from tests.mlflow.filters import KINDS, Question, World, questions
from tests.mlflow.record import RECORDED

COUNTS = {"runs": 900}
PATH = RECORDED / "filters.jsonl"


def read_questions() -> list[tuple[Question, Any]]:
    """Return every stored search with MLflow's answer."""
    lines = (json.loads(line) for line in PATH.read_text(encoding="utf-8").splitlines())
    return [(Question(kind, text, tuple(order)), answer) for kind, text, order, answer in lines]


def made_up(kind: str, count: int) -> list[Question]:
    """Return different searches of a kind, the same each time."""
    found: dict[Question, None] = {}

    @seed(20_240_601)
    @settings(max_examples=4 * count, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @given(questions(kind))
    def collect(question: Question) -> None:
        found[question] = None

    collect()
    return list(found)[:count]


def main(url: str) -> None:
    """Record searches of every kind."""
    world, lines = World(url, ""), []
    for kind in KINDS:
        for question in made_up(kind, COUNTS.get(kind, 150)):
            lines.append([kind, question.filter, list(question.order), world.ask(question)])
    PATH.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
    world.close()
    refused = sum(bool(line[3]) and isinstance(line[3][0], int) for line in lines)
    print(f"{len(lines)} searches, {refused} of them refused")


if __name__ == "__main__":
    main(sys.argv[1])
