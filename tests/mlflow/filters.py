"""Search filters and orders as hypothesis makes them up, and a small world to ask them in.

Most texts are sensible, some are not: a comparison gets an operator or a value that its field does not take, words
are joined by what the grammar does not know, or a character is lost or doubled.
"""

from __future__ import annotations

import http.client
import json
import time
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st
from tests.mlflow.cases.base import API
from tests.mlflow.cases.search import RUNS

KINDS = ("runs", "experiments", "registered-models", "model-versions", "logged-models")

_NUMBERS = ["0", "0.5", "-1", "3", "1e3", "-0.0", "1010", "1030", "4998", "2"] * 2 + ["1e308", ".5", "5.", "1_0", "NaN"]
_TEXTS = ["'x'", "'X'", "''", "'0.1'", "'x%'", "'%'", "'_'", '"x"', "'net'", "'N%'", "'run 1'", "'run%'", "'1'"]
_TEXTS += [
    "'FINISHED'",
    "'READY'",
    "`x`",
    "x",
    "('x', 'y')",
    "('x')",
    "()",
    "(1, 2)",
    "'~one'",
    "'~%'",
    "('~one', '~Two')",
]
_COMPARED = ["=", "!=", ">", "<", ">=", "<="]
_WORDS = ["LIKE", "ILIKE", "like", "Ilike", "IN", "NOT IN", "in", "==", "<>", "NOT LIKE", "CONTAINS", "IS", "~"]
_NULLS = ["IS NULL", "IS NOT NULL", "is not null", "ISNULL"]

_FIELDS = {
    "runs": {
        "number": ["metrics.acc", "metric.loss", "metrics.`a b`", "metrics.none", 'metrics."acc"'],
        "text": [
            "params.lr",
            "param.model",
            "parameter.lr",
            "params.`größe`",
            "tags.team",
            "tag.note",
            "tags.dotted.key",
        ],
        "attribute": [
            "run_name",
            "attributes.run_name",
            "attr.`run name`",
            "attribute.status",
            "status",
            "run.run_name",
        ],
        "time": ["start_time", "attributes.start_time", "created", "attr.end_time", "end_time"],
        "odd": [
            "user_id",
            "run_id",
            "attributes.run_id",
            "artifact_uri",
            "lifecycle_stage",
            "dataset.name",
            "foo",
            "a.b",
        ],
    },
    "experiments": {
        "text": ["tags.k", "tag.t", "tags.`k`", 'tags."T"', "tags.none"],
        "attribute": ["name", "attribute.name", "attr.name"],
        "time": ["creation_time", "last_update_time", "attribute.creation_time"],
        "odd": ["experiment_id", "lifecycle_stage", "metrics.a", "foo"],
    },
    "registered-models": {
        "text": ["tags.k", "tag.t", "tags.`k`", "tags.none"],
        "attribute": ["name", "attribute.name"],
        "odd": ["creation_timestamp", "run_id", "version_number", "foo", "params.a"],
    },
    "model-versions": {
        "text": ["tags.k", "tag.t", "tags.`k`", "tags.none"],
        "attribute": ["name", "source_path", "run_id"],
        "time": ["version_number"],
        "odd": ["creation_timestamp", "current_stage", "status", "alias", "foo", "attribute.name"],
    },
    "logged-models": {
        "number": ["metrics.acc", "metrics.none", "metrics.`acc`"],
        "text": ["params.lr", "tags.team", "tags.`team`", "params.none"],
        "attribute": ["name", "attributes.name", "model_type"],
        "time": ["creation_timestamp", "creation_time", "attributes.creation_timestamp"],
        "odd": ["metric.acc", "attribute.name", "foo.bar", "source_run_id", "a b"],
    },
}
_ORDERED = {
    "runs": ["metrics.acc", "metrics.loss", "params.lr", "tags.team", "start_time", "end_time", "attributes.status"],
    "experiments": ["name", "creation_time", "last_update_time", "experiment_id", "attribute.name"],
    "registered-models": ["name", "timestamp", "last_updated_timestamp"],
    "model-versions": ["name", "version_number", "creation_timestamp", "last_updated_timestamp"],
    "logged-models": [],
}
_NAMED = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
"""How the protocol writes what JSON has no number for."""

_DIRECTIONS = ["", " ASC", " DESC"] * 4 + [" desc", "  DESC ", " DOWN"]


@dataclass(frozen=True)
class Question:
    """One search: of what, by which filter, in which order."""

    kind: str
    filter: str
    order: tuple[str, ...] = ()


@st.composite
def _comparisons(draw: st.DrawFn, kind: str) -> str:
    fields = _FIELDS[kind]
    sort = draw(st.sampled_from([sort for sort in fields if sort != "odd"] * 4 + ["odd"]))
    field = draw(st.sampled_from(fields[sort]))
    is_sensible = draw(st.sampled_from([True] * 11 + [False]))
    if is_sensible and sort in {"number", "time"}:
        return f"{field} {draw(st.sampled_from(_COMPARED))} {draw(st.sampled_from(_NUMBERS))}"
    if is_sensible and sort in {"text", "attribute"}:
        operator = draw(st.sampled_from(["=", "!=", "=", "LIKE", "ILIKE", *_NULLS[:2]]))
        return (
            f"{field} {operator}" if operator in _NULLS else f"{field} {operator} {draw(st.sampled_from(_TEXTS[:13]))}"
        )
    operator = draw(st.sampled_from([*_COMPARED, *_WORDS, *_NULLS]))
    value = draw(st.sampled_from([*_NUMBERS, *_TEXTS, ""]))
    gap = draw(st.sampled_from([" ", " ", "", "  ", "\n"]))
    return f"{field}{gap}{operator}{gap}{value}".strip() if operator not in _NULLS else f"{field} {operator}"


@st.composite
def _damaged(draw: st.DrawFn, text: str) -> str:
    at = draw(st.integers(0, len(text)))
    inserted = draw(
        st.sampled_from(["", "(", ")", "'", '"', "`", " ", ";", ".", ",", "AND", "OR", "NOT ", "%", "--", "\\"])
    )
    return text[:at] + inserted + text[at + draw(st.integers(0, 1)) :]


@st.composite
def questions(draw: st.DrawFn, kind: str) -> Question:
    """Draw a search."""
    parts = draw(st.lists(_comparisons(kind), min_size=1, max_size=3))
    joint = draw(st.sampled_from([" AND "] * 20 + [" and ", "  AND\n", " OR ", ", "]))
    text = joint.join(parts)
    if draw(st.sampled_from([True] + [False] * 9)):
        text = draw(_damaged(text))
    fields = draw(
        st.lists(
            st.sampled_from([*_ORDERED[kind] * 4, "foo"]),
            max_size=2,
            unique=draw(st.sampled_from([True] * 9 + [False])),
        )
    )
    order = [field + draw(st.sampled_from(_DIRECTIONS)) for field in fields] if _ORDERED[kind] else []
    return Question(kind, text, tuple(order))


class World:
    """A few things on a server, and a connection to ask about them."""

    def __init__(self, url: str, token: str) -> None:
        parts = urllib.parse.urlsplit(url)
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
        self._token = token
        self._prefix = f"w{time.time_ns()}-"
        self._experiments = self._make_runs()
        self._make_experiments()
        self._make_registry()
        self._make_logged_models()

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def ask(self, question: Question) -> Any:
        """Return the names that are found, in order, or status and code of the refusal."""
        text = question.filter.replace("~", self._prefix)
        if question.kind == "runs":
            sent: dict[str, Any] = {
                "experiment_ids": self._experiments,
                "filter": text,
                "order_by": list(question.order),
            }
            return self._names("POST", "runs/search", sent, "runs", lambda run: run["info"]["run_name"])
        if question.kind == "logged-models":
            sent = {"experiment_ids": self._models, "filter": text}
            return self._names("POST", "logged-models/search", sent, "models", lambda model: model["info"]["name"])
        mine = f"name LIKE '{self._prefix}%' AND {text}"
        if question.kind == "experiments":
            asked = {"filter": mine, "order_by": list(question.order), "max_results": 100}
            return self._names("POST", "experiments/search", asked, "experiments", lambda each: each["name"])
        query = urllib.parse.urlencode({"filter": mine, "order_by": list(question.order)}, doseq=True)
        member = question.kind.replace("-", "_")
        name = (
            (lambda each: f"{each['name']}:{each['version']}") if "versions" in member else (lambda each: each["name"])
        )
        return self._names("GET", f"{question.kind}/search?{query}", None, member, name)

    def _names(self, method: str, path: str, sent: Any, member: str, name: Any) -> Any:
        status, answer = self._send(method, path, sent)
        if status >= 400:
            return [status, answer.get("error_code") if isinstance(answer, dict) else None]
        return [name(each).removeprefix(self._prefix) for each in answer.get(member, [])]

    def _send(self, method: str, path: str, sent: Any = None) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        body = None if sent is None else json.dumps(sent)
        if sent is not None:
            headers["Content-Type"] = "application/json"
        try:
            self._connection.request(method, f"{API}/{path}", body, headers)
            answer = self._connection.getresponse()
        except (BrokenPipeError, http.client.RemoteDisconnected):
            # Closed for idleness between two questions; nothing of this one was done.
            self._connection.close()
            self._connection.request(method, f"{API}/{path}", body, headers)
            answer = self._connection.getresponse()
        content = answer.read()
        try:
            return answer.status, json.loads(content)
        except ValueError:
            return answer.status, None

    def _post(self, path: str, sent: Any, method: str = "POST") -> Any:
        status, answer = self._send(method, path, sent)
        assert status == 200, (path, status, answer)
        return answer

    def _make_runs(self) -> list[str]:
        experiment = self._post("experiments/create", {"name": f"runs of {self._prefix}"})["experiment_id"]
        for number, (metrics, params, tags) in enumerate(RUNS):
            sent: dict[str, Any] = {
                "experiment_id": experiment,
                "run_name": f"run {number}",
                "start_time": 1000 + number * 10,
            }
            run = self._post("runs/create", sent)["run"]["info"]["run_id"]
            points = [
                {"key": key, "value": _NAMED.get(str(value), value), "timestamp": 1} for key, value in metrics.items()
            ]
            batch: dict[str, Any] = {"run_id": run, "metrics": points, "params": _pairs(params), "tags": _pairs(tags)}
            self._post("runs/log-batch", batch)
            if number < 4:
                status = "FINISHED" if number % 2 else "FAILED"
                self._post("runs/update", {"run_id": run, "status": status, "end_time": 5000 - number})
        return [experiment]

    def _make_experiments(self) -> None:
        for name, tags in {"one": {"k": "1", "t": "x"}, "Two": {"k": "x"}, "one_b": {"k": "3", "T": "X"}}.items():
            self._post("experiments/create", {"name": self._prefix + name, "tags": _pairs(tags)})
            _tick()

    def _make_registry(self) -> None:
        for name, tags in {"one": {"k": "1", "t": "x"}, "Two": {"k": "x"}, "one_b": {}, "onexb": {"k": "X"}}.items():
            self._post("registered-models/create", {"name": self._prefix + name, "tags": _pairs(tags)})
            _tick()
        for number, name in enumerate(("one", "Two", "one", "one_b", "one")):
            tags = {"k": "x"} if number % 2 else {"t": "x", "k": "1"}
            sent = {"name": self._prefix + name, "source": f"s3://b/{number}", "tags": _pairs(tags)}
            self._post("model-versions/create", sent)
            _tick()

    def _make_logged_models(self) -> None:
        made: list[tuple[str, Any, dict[str, str], dict[str, str]]] = [
            ("x", 0.5, {"lr": "0.1"}, {}),
            ("X", -1.0, {"lr": "x"}, {"team": "x"}),
            ("net", 3.0, {}, {"team": "X"}),
        ]
        # A place of their own: the metrics of these runs are none of the runs that are searched.
        experiment = self._post("experiments/create", {"name": f"models of {self._prefix}"})["experiment_id"]
        run = self._post("runs/create", {"experiment_id": experiment})["run"]["info"]["run_id"]
        for name, value, params, tags in made:
            sent = {"experiment_id": experiment, "name": name, "params": _pairs(params), "tags": _pairs(tags)}
            model = self._post("logged-models", sent | {"model_type": "net"})["model"]["info"]["model_id"]
            point = {"key": "acc", "value": value, "timestamp": 1, "step": 0, "model_id": model}
            self._post("runs/log-batch", {"run_id": run, "metrics": [point]})
            _tick()
        self._models = [experiment]


def _pairs(items: dict[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in items.items()]


def _tick() -> None:
    start = time.time_ns() // 1_000_000
    while time.time_ns() // 1_000_000 == start:
        pass


def windows(items: list[Any], size: int) -> Iterator[list[Any]]:
    """Return consecutive slices of a list."""
    return (items[start : start + size] for start in range(0, len(items), size))
