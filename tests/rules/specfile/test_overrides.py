from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.entities.errors import SpecError
from penstock.rules.specfile import Place, apply_overrides, parse_document

FILE = "inputs: {lr: 0.1, data: azureml:a:1}\nlayers: [8, 9]\n"


@pytest.mark.parametrize(
    ("override", "path", "value"),
    [
        ("inputs.lr=0.01", ["inputs", "lr"], 0.01),
        ("inputs.lr=abc", ["inputs", "lr"], "abc"),
        ("inputs.lr=", ["inputs", "lr"], ""),
        ("inputs.lr= ", ["inputs", "lr"], ""),
        ("inputs.lr=null", ["inputs", "lr"], None),
        ("inputs.lr=true", ["inputs", "lr"], True),
        ("inputs.lr=a=b", ["inputs", "lr"], "a=b"),
        ("inputs.data.path=azureml:b:2", ["inputs", "data", "path"], "azureml:b:2"),
        ("inputs.new={type: uri_file, path: x}", ["inputs", "new"], {"type": "uri_file", "path": "x"}),
        ("layers.1=16", ["layers", "1"], 16),
        ("a.b.c=1", ["a", "b", "c"], 1),
        (r"tags.a\.b=1", ["tags", "a.b"], 1),
        ("command=python x.py: y: z", ["command"], "python x.py: y: z"),
        ("command=@x", ["command"], "@x"),
        (" name =x", ["name"], "x"),
    ],
)
def test_a_value_is_set(override, path, value):
    data = apply_overrides(parse_document(FILE), [override]).data
    for part in path:
        data = data[int(part)] if isinstance(data, list) else data[part]
    assert data == value


@pytest.mark.parametrize("override", ["", "lr", "=1", "a..b=1", ".a=1", "layers.2=1", "layers.x=1"])
def test_what_sets_nothing_is_refused(override):
    with pytest.raises(SpecError) as caught:
        apply_overrides(parse_document(FILE), [override])
    [problem] = caught.value.problems
    assert problem.file == f"--set {override}"
    assert str(problem).startswith(problem.file + ": ")


def test_later_ones_see_the_earlier_ones():
    document = apply_overrides(parse_document(FILE, "job.yml"), ["a={b: 1}", "a.c=2", "a.b=3"])
    assert document.data["a"] == {"b": 3, "c": 2}
    assert document.place_of("/a/b") == Place("--set a.b=3")
    assert document.place_of("/a/c") == Place("--set a.c=2")
    assert document.place_of("/a") == Place("--set a={b: 1}")
    assert document.place_of("/inputs/lr") == Place("job.yml", 1, 14)


def test_the_written_text_of_a_value_is_kept():
    assert apply_overrides(parse_document(FILE), ["version=1.10"]).text_of("/version") == "1.10"


def test_an_empty_document_can_be_filled():
    assert apply_overrides(parse_document(""), ["command=x"]).data == {"command": "x"}


def test_a_long_one_is_shown_shortened():
    document = apply_overrides(parse_document(FILE), ["a=" + "x" * 500])
    assert len(document.place_of("/a").file) < 80


@given(st.lists(st.text(alphabet="ab.\\=:{} 1", max_size=8), max_size=4))
def test_any_text_is_applied_or_refused(overrides):
    with contextlib.suppress(SpecError):
        document = apply_overrides(parse_document(FILE), overrides)
        assert isinstance(document.data, dict)
