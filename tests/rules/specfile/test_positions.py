"""Whatever the layout: the position of a pointer is where the text holds that value."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from penstock.entities.errors import Problem
from penstock.rules.pointers import join_pointer
from penstock.rules.specfile import Place, locate, parse_document

TEXT = """\
# a job
command: >-
  python train.py
inputs:
  lr: 0.01
  data:
    type: uri_file
    path: "a b.csv"
tags: {a: 1, b: [x, y]}
base: &base
  k: v
derived:
  <<: *base
  own: 1
"a/b~c": here
"""


@pytest.mark.parametrize(
    ("pointer", "value", "key"),
    [
        ("/command", (2, 10), (2, 1)),
        ("/inputs", (5, 3), (4, 1)),
        ("/inputs/lr", (5, 7), (5, 3)),
        ("/inputs/data/path", (8, 11), (8, 5)),
        ("/tags/b/1", (9, 21), (9, 21)),
        ("/derived/k", (11, 6), (11, 3)),
        ("/derived/own", (14, 8), (14, 3)),
        ("/a~1b~0c", (15, 10), (15, 1)),
        ("", (2, 1), (2, 1)),
        ("/inputs/nothing/there", (5, 3), (4, 1)),
        ("/tags/b/7", (9, 17), (9, 14)),
        ("/command/x", (2, 10), (2, 1)),
    ],
)
def test_positions_of_values_and_keys(pointer, value, key):
    document = parse_document(TEXT, "job.yml")
    assert document.place_of(pointer) == Place("job.yml", *value)
    assert document.place_of(pointer, key=True) == Place("job.yml", *key)


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ("command: echo ${{x}} é ${{y}}\n", 1, 24),
        ("command: 'it''s ${{x}} ${{y}}'\n", 1, 24),
        ('command: "a\\t${{x}}\\\\${{y}}"\n', 1, 22),
        ('command: "a ${{x}}\n  ${{y}}"\n', 2, 3),
        ("command: |\n  python\n    --x ${{x}}\n\n    --y ${{y}}\n", 5, 9),
        ("command: >-\r\n  python --x\r\n  ${{x}} ${{y}}\r\n", 3, 10),
        ("a: ${{y}}\ncommand: ${{y}}\n", 2, 10),
        ("command: ${{ y }} ${{y}}\n", 1, 19),
        ('command: "\\x24{{y}}"\n', 1, 10),
    ],
)
def test_a_part_of_a_text_has_a_place_of_its_own(text, line, column):
    document = parse_document(text, "f")
    offset = document.data["command"].rindex("${{y}}")
    assert document.place_of("/command", offset=offset) == Place("f", line, column)
    [problem] = locate([Problem("no", "/command", offset=offset)], document)
    assert (problem.line, problem.column) == (line, column)


def test_source_text_is_kept():
    document = parse_document("a: 1.10\nb: 010\nc: [yes, 'x']\n")
    assert [document.text_of(p) for p in ("/a", "/b", "/c/0", "/c/1")] == ["1.10", "010", "yes", "x"]
    assert document.text_of("/c") is None
    assert document.text_of("/d") is None


def test_a_server_s_pointers_get_the_author_s_line():
    document = parse_document(TEXT, "job.yml")
    [problem] = locate([Problem("no asset", "/inputs/data/path", "Did you mean …?")], document)
    assert str(problem) == "job.yml:8:11: inputs.data.path: no asset\n  Did you mean …?"


def test_another_document_can_stand_at_a_pointer():
    document = parse_document("environment: file:env.yml\n", "job.yml")
    environment = parse_document("image: x\nconda_file: conda.yml\n", "env.yml")
    conda = parse_document("dependencies:\n  - numpy\n", "conda.yml")
    whole = document.graft("/environment", environment).graft("/environment/conda_file", conda)
    assert whole.data == {"environment": {"image": "x", "conda_file": {"dependencies": ["numpy"]}}}
    assert whole.place_of("/environment/image") == Place("env.yml", 1, 8)
    assert whole.place_of("/environment/conda_file/dependencies/0") == Place("conda.yml", 2, 5)
    assert whole.place_of("/environment/nothing") == Place("env.yml", 1, 1)
    assert whole.text_of("/environment/conda_file/dependencies/0") == "numpy"
    replaced = whole.graft("/environment", parse_document("image: y\n", "other.yml"))
    assert replaced.place_of("/environment/conda_file/dependencies/0") == Place("other.yml", 1, 1)


def test_the_original_is_not_changed_by_a_graft():
    document = parse_document("a: {b: 1}\n", "x.yml")
    document.graft("/a/b", parse_document("2"))
    assert document.data == {"a": {"b": 1}}
    assert document.place_of("/a/b") == Place("x.yml", 1, 8)


WORDS = st.text(alphabet="abcäß-_ #:'\"{}[]&*!|>%@`0123456789\U0001f600", min_size=1, max_size=8)
TREES = st.recursive(
    WORDS,
    lambda inner: st.lists(inner, min_size=1, max_size=3) | st.dictionaries(WORDS, inner, min_size=1, max_size=3),
    max_leaves=10,
)


def leaves(data, parts=()):
    if isinstance(data, str):
        yield parts, data
    for name, inner in data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ():
        yield from leaves(inner, (*parts, name))


@given(st.dictionaries(WORDS, TREES, min_size=1, max_size=4), st.sampled_from([None, True, False]), st.integers(2, 5))
def test_the_position_of_every_leaf_holds_its_text(data, flow, indent):
    text = yaml.safe_dump(data, allow_unicode=True, default_flow_style=flow, indent=indent, width=10_000)
    document = parse_document(text)
    lines = text.splitlines()
    for parts, value in leaves(data):
        place = document.place_of(join_pointer(parts))
        rest = lines[place.line - 1][place.column - 1 :]
        quoted = yaml.safe_dump(value, allow_unicode=True, width=10_000).splitlines()[0]
        assert rest.startswith((value, quoted, "'" + value[:1], '"'))
        assert document.text_of(join_pointer(parts)) == value


@given(
    st.sampled_from(["", "/command", "/inputs/data/path"]) | st.text(max_size=20).map(lambda text: "/" + text),
    st.booleans(),
    st.none() | st.integers(0, 40),
)
def test_any_pointer_has_a_place(pointer, key, offset):
    place = parse_document(TEXT).place_of(pointer, key=key, offset=offset)
    assert place.line >= 1
    assert place.column >= 1
