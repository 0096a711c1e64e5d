"""The parts of the worker for models of MLflow that need no MLflow; the rest is in tests/mlflow."""

from __future__ import annotations

import hashlib
import json

import pytest

from penstock.shim.convert_samples import Refused as NotConverted
from penstock.shim.convert_samples import Samples
from penstock.shim.mlflow_scoring import Refused, from_azure, read_example
from penstock.shim.mlflow_worker import ChangedModel, check_digests


def test_a_file_that_changed_since_it_was_registered_is_not_loaded(tmp_path):
    (tmp_path / "model.pkl").write_bytes(b"good")
    digests = {"model.pkl": hashlib.sha256(b"good").hexdigest()}
    check_digests(str(tmp_path), digests)
    (tmp_path / "model.pkl").write_bytes(b"evil")
    with pytest.raises(ChangedModel, match=r"model\.pkl is not what was registered"):
        check_digests(str(tmp_path), digests)
    (tmp_path / "model.pkl").unlink()
    with pytest.raises(ChangedModel, match="cannot be read"):
        check_digests(str(tmp_path), digests)


@pytest.mark.parametrize(
    ("data", "wanted"),
    [
        ({"columns": ["a"], "data": [[1]]}, {"dataframe_split": {"columns": ["a"], "data": [[1]]}}),
        ([{"a": 1}], {"dataframe_records": [{"a": 1}]}),
        ([[1]], {"dataframe_split": {"data": [[1]]}}),
        ({"a": [1]}, {"inputs": {"a": [1]}}),
    ],
)
def test_azures_forms_become_mlflows(data, wanted):
    assert from_azure({"input_data": data}, None) == wanted
    assert from_azure({"input_data": data, "params": {"k": 1}}, None) == {**wanted, "params": {"k": 1}}


def test_another_key_beside_input_data_is_refused():
    with pytest.raises(Refused, match="'temperature'"):
        from_azure({"input_data": [], "temperature": 1}, None)


def test_examples_of_older_models_become_requests(tmp_path):
    (tmp_path / "e.json").write_text(json.dumps({"columns": ["a"], "data": [[1]]}))
    info = {"artifact_path": "e.json", "type": "dataframe"}
    assert read_example(str(tmp_path), info) == {"dataframe_split": {"columns": ["a"], "data": [[1]]}}
    (tmp_path / "e.json").write_text(json.dumps({"inputs": [[1]]}))
    assert read_example(str(tmp_path), {"artifact_path": "e.json", "type": "ndarray"}) == {"inputs": [[1]]}
    assert read_example(str(tmp_path), {"artifact_path": "no.json"}) is None


def test_samples_stay_in_ranges_made_from_the_example():
    columns = [
        {"name": "age", "type": "long"},
        {"name": "debt", "type": "double"},
        {"name": "nothing", "type": "double"},
        {"name": "city", "type": "string"},
        {"name": "member", "type": "boolean"},
    ]
    example = [[20, -3.0, 0.0, "Ulm", True], [40, 1.0, 0.0, "Bern", False]]
    samples = Samples(columns, 5, example, seed=7)
    samples.learn(object(), lambda frame: None)
    rows = samples.rows(1000)
    assert rows[:2] == example
    assert len(rows) == 1002
    ages, debts, nothing, cities, members = map(set, zip(*rows, strict=True))
    assert min(ages) >= 0  # never negative in the example
    assert max(ages) <= 120
    assert min(debts) >= -11
    assert max(debts) <= 9
    assert min(debts) < -3
    assert min(nothing) >= 0
    assert max(nothing) <= 1
    assert {"Ulm", "Bern"} < cities
    assert members == {True, False}
    assert any(None in row for row in samples.rows_with_missing())
    again = Samples(columns, 5, example, seed=7)
    again.learn(object(), lambda frame: None)
    assert again.rows(1000) == rows


def test_what_has_no_samples_is_not_converted():
    with pytest.raises(NotConverted, match="no input example"):
        Samples(None, 2, [], seed=1)
    with pytest.raises(NotConverted, match="when is of the type datetime"):
        Samples([{"name": "when", "type": "datetime"}], 1, [["2020-01-01"]], seed=1)
