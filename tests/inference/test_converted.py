"""Converted models against what MLflow's scoring server said of the models themselves; recorded by
``python -m tests.mlflow.test_scoring``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.inference.converted import RECORDED, check_case

from penstock.inference.protocols.answering import answer
from penstock.inference.runtimes.base import ScoreRequest
from penstock.inference.runtimes.converted import ConvertedRuntime
from penstock.testing.runtimes import RuntimeConformance

NAMES = sorted(path.name for path in RECORDED.iterdir())
ROW = {"age": 30, "city": "Bern"}


def load(name):
    runtime = ConvertedRuntime(RECORDED / name)
    runtime.warm_up()
    return runtime


def ask(runtime, body, path="/invocations", content_type="application/json"):
    said = answer(runtime, ScoreRequest(json.dumps(body).encode(), content_type, path=path))
    return said.status, json.loads(said.body)


@pytest.mark.parametrize("name", NAMES)
def test_it_answers_as_the_scoring_server_did(name):
    runtime = load(name)
    for case in json.loads((RECORDED / name / "cases.json").read_text()):
        check_case(runtime, case)


def test_azures_form_gets_the_predictions_alone():
    runtime = load("strict")
    wanted = ask(runtime, {"dataframe_records": [ROW]})[1]["predictions"]
    for data in ([ROW], {"columns": ["city", "age"], "data": [["Bern", 30]]}, [[30, "Bern"]]):
        assert ask(runtime, {"input_data": data}, "/score") == (200, wanted)
        assert ask(runtime, {"input_data": data, "params": {"nothing": 1}}, "/score") == (200, wanted)
    status, said = ask(runtime, {"input_data": [ROW], "more": 1}, "/score")
    assert (status, "unknown key 'more'" in said["message"]) == (400, True)


def test_a_text_that_the_encoder_would_refuse_is_refused_in_every_protocol():
    runtime = load("strict")
    status, said = ask(runtime, {"dataframe_records": [{**ROW, "city": "Berm"}]})
    assert status == 400
    assert "the model knows no 'Berm'" in said["message"]
    assert "'Bern'" in said["message"]
    assert said["schema"][1] == {"type": "string", "name": "city", "required": True}
    assert ask(runtime, {"records": [{**ROW, "city": "Berm"}]}, "/score")[0] == 400
    assert ask(runtime, {"records": [ROW]}, "/score")[0] == 200


def test_a_missing_value_is_taken_only_where_the_model_takes_it():
    status, said = ask(load("logistic"), {"inputs": {name: [None] for name in columns_of("logistic")}})
    assert status == 400
    assert "column 'sepal length (cm)': the model takes no missing values" in said["message"]
    row = {"age": 30, "city": "Bern", "member": True, "income": None}
    assert ask(load("mixed"), {"dataframe_records": [row]})[0] == 200


def test_python_clients_write_nan_and_are_understood():
    runtime = load("mixed")
    body = b'{"dataframe_split": {"columns": ["age", "city", "member", "income"], "data": [[30, "Bern", true, NaN]]}}'
    assert answer(runtime, ScoreRequest(body, path="/invocations")).status == 200


def columns_of(name):
    layout = json.loads((RECORDED / name / "conversion.json").read_text())["layout"]
    return [column["name"] for column in layout["columns"]]


class TestConverted(RuntimeConformance):
    @pytest.fixture
    def runtime(self):
        return ConvertedRuntime(Path(RECORDED / "strict"))

    @pytest.fixture
    def good(self):
        return ScoreRequest(json.dumps({"dataframe_records": [ROW]}).encode())

    @pytest.fixture
    def mistakes(self):
        return [
            ScoreRequest(b'{"dataframe_records": [{"age": 1}]}'),
            ScoreRequest(b'{"dataframe_records": [{"age": "old", "city": "Bern"}]}'),
            ScoreRequest(b'{"dataframe_split": 1}'),
            ScoreRequest(b'{"input_data": {"data": 1}}'),
            ScoreRequest(b"{"),
        ]
