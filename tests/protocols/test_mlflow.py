"""MLflow's ``/invocations`` without HTTP, against what MLflow's own scoring server answers."""

from __future__ import annotations

import base64
import contextlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto
from tests.protocols.mlflow_cases import CASES, RECORDED, ask_mlflow, models
from tests.protocols.models import ask, brightness, echo, house, scores, write

from penstock.inference.contract import BadInputError
from penstock.inference.protocols.answering import answer
from penstock.inference.protocols.invocations import UnsupportedTypeError, parse
from penstock.inference.runtimes.base import ScoreRequest
from penstock.shim.png import encode_png


@pytest.fixture(scope="module")
def runtimes(tmp_path_factory):
    root = tmp_path_factory.mktemp("mlflow")
    return {name: write(root / name, content) for name, content in models().items()}


@pytest.mark.parametrize("case", json.loads(RECORDED.read_text()), ids=lambda case: case["body"][:60])
def test_the_answer_is_that_of_mlflows_own_server(runtimes, case):
    status, content_type, text = case["answer"]
    request = ScoreRequest(case["body"].encode(), case["content_type"], path="/invocations")
    response = answer(runtimes[case["model"]], request)
    assert response.status == status, response.body
    assert response.content_type.partition(";")[0] == content_type
    if status == 200:
        assert json.loads(response.body) == json.loads(text)
    elif status == 400:
        assert json.loads(response.body)["error_code"] == json.loads(text)["error_code"]
        assert json.loads(response.body)["message"]


@pytest.mark.long
@pytest.mark.timeout(600)
def test_the_records_are_what_mlflow_answers(tmp_path):
    known = json.loads(RECORDED.read_text())
    recorded = [case.pop("answer") for case in known]
    assert known == CASES
    answers = ask_mlflow(tmp_path, CASES)
    assert [a[:2] for a in answers] == [r[:2] for r in recorded]
    for asked, was in zip(answers, recorded, strict=True):
        assert asked[0] != 200 or json.loads(asked[2]) == json.loads(was[2])


@pytest.fixture(scope="module")
def columns(tmp_path_factory):
    return write(tmp_path_factory.mktemp("house"), house())


@pytest.mark.parametrize(
    "body",
    [
        {"dataframe_split": {"columns": ["rooms", "area"], "data": [[3, 50], [2, 60.5]]}},
        {"dataframe_records": [{"area": 50, "rooms": 3}, {"rooms": 2, "area": 60.5}]},
    ],
)
def test_columns_of_one_number_a_row_are_taken_by_name(columns, body):
    assert ask(columns, "/invocations", body) == (200, {"predictions": [{"price": 130.0}, {"price": 141.0}]})


def test_all_forms_of_tensors_feed_columns(columns):
    said = (200, {"predictions": {"price": [[130.0], [141.0]]}})
    for body in (
        {"inputs": {"area": [50, 60.5], "rooms": [3, 2]}},
        {"inputs": {"area": [[50], [60.5]], "rooms": [[3], [2]]}},
        {"instances": [{"area": 50, "rooms": 3}, {"area": 60.5, "rooms": 2}]},
    ):
        assert ask(columns, "/invocations", body) == said


def test_a_missing_column_names_the_one_that_was_meant(columns):
    body = {"dataframe_split": {"columns": ["area", "room"], "data": [[50, 3]]}}
    status, said = ask(columns, "/invocations", body)
    assert status == 400
    assert said["message"] == ("column 'rooms' is missing. The model's columns are: area, rooms. Did you mean 'room'?")
    status, said = ask(columns, "/invocations", {"dataframe_splt": {}})
    assert "Did you mean 'dataframe_split'?" in said["message"]
    status, said = ask(columns, "/invocations", {"dataframe_split": {"columns": ["area"] * 2, "data": [[1, 2]]}})
    assert (status, "twice" in said["message"]) == (400, True)


def test_records_with_a_name_each_do_not_become_a_large_table(columns):
    body = {"dataframe_records": [{f"c{number}": 1} for number in range(50_000)]}
    status, said = ask(columns, "/invocations", body)
    assert (status, "few of them in each record" in said["message"]) == (400, True)


def test_csv_holds_numbers_truths_and_empty_cells(tmp_path):
    for kind, line, expected in (
        (TensorProto.FLOAT, "1,,-2e3,nan", [1.0, None, -2000.0, None]),
        (TensorProto.INT64, "1,2,9007199254740993,4.0", None),
        (TensorProto.INT64, "1,2,9007199254740993,4", [1, 2, 9007199254740993, 4]),
        (TensorProto.BOOL, "True,false,1,0", [True, False, True, False]),
        (TensorProto.STRING, 'a,"b ""c""",,ü', ["a", 'b "c"', "", "ü"]),
    ):
        runtime = write(tmp_path / f"{kind}{len(line)}", echo(kind, ["n", 4]))
        status, said = ask(runtime, "/invocations", f"a,b,c,d\n{line}\n".encode(), "text/csv")
        assert status == 200, said
        assert expected is None or said == {"predictions": [{"y": expected}]}
    runtime = write(tmp_path / "whole", echo(TensorProto.INT64, ["n", 2]))
    for text in ("a,b\n1\n", "a,b\n1,x\n", "a,b\n1,2.5\n", '"a', "a,b\n1,99999999999999999999999\n", "\xff"):
        status, said = ask(runtime, "/invocations", text.encode("latin-1"), "text/csv")
        assert (status, said["error_code"]) == (400, "BAD_REQUEST"), text
    assert ask(runtime, "/invocations", b"a,b\n", "text/csv") == (200, {"predictions": []})


def test_a_row_with_several_numbers_is_a_list_in_its_record(tmp_path):
    runtime = write(tmp_path / "scores", scores())
    body = {"dataframe_split": {"data": [[1, 4, 3, 2], [9, 0, 0, 0]]}}
    assert ask(runtime, "/invocations", body)[1] == {
        "predictions": [{"label": 1, "scores": [1.0, 4.0, 3.0, 2.0]}, {"label": 0, "scores": [9.0, 0.0, 0.0, 0.0]}]
    }


def test_pictures_are_base64_texts(tmp_path):
    runtime = write(tmp_path / "pixels", brightness())
    text = base64.b64encode(encode_png(8, 8, 1, b"\xff" * 64)).decode()
    white = [1.0, 1.0, 1.0]
    assert ask(runtime, "/invocations", {"inputs": [text, text]})[1] == {"predictions": {"means": [white, white]}}
    split = {"dataframe_split": {"columns": ["image"], "data": [[text]]}}
    assert ask(runtime, "/invocations", split)[1] == {"predictions": [{"means": white}]}
    status, said = ask(runtime, "/invocations", {"inputs": ["nothing"]})
    assert (status, "base64" in said["message"]) == (400, True)


FORMS = st.sampled_from(["dataframe_split", "dataframe_records", "instances", "inputs", "params", "other"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["a", "area", "rooms"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["area", "rooms", "columns", "data", "index"]), inner, max_size=3)
    ),
    max_leaves=10,
)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(FORMS, VALUES, max_size=2))
def test_no_form_makes_it_fail(columns, body):
    status, said = ask(columns, "/invocations", json.dumps(body).encode())
    assert status in (200, 400)
    assert status == 200 or said["error_code"] == "BAD_REQUEST"


@given(st.binary(max_size=60), st.sampled_from(["text/csv", "application/json", "text/csv; charset=utf-8", ""]))
def test_any_bytes_are_taken_apart_or_refused(body, content_type):
    with contextlib.suppress(BadInputError, UnsupportedTypeError):
        assert parse(body, content_type).kind in ("table", "tensors")
