from __future__ import annotations

import json
import math

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from penstock.entities.errors import Problem, SpecError
from penstock.rules.pointers import join_pointer, split_pointer
from penstock.rules.specfile import parse_document


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("", None),
        ("# nothing\n", None),
        ("a: 1\nb: [x, 2.5, true, null, ~]\n", {"a": 1, "b": ["x", 2.5, True, None, None]}),
        ("a: yes\nb: off\nc: 'yes'\n", {"a": True, "b": False, "c": "yes"}),
        ("a: 0x10\nb: 0b11\nc: 010\nd: -7\ne: 1_000\nf: 0\n", {"a": 16, "b": 3, "c": 8, "d": -7, "e": 1000, "f": 0}),
        ("a: 1.\nb: .5\nc: 1.0e+3\nd: -.inf\n", {"a": 1.0, "b": 0.5, "c": 1000.0, "d": -math.inf}),
        ("a: 1e-3\n", {"a": "1e-3"}),
        ("a: 12:30\nb: 1:30.5\nc: 2024-01-01\nd: 2024-01-01 10:00:00\n",
         {"a": "12:30", "b": "1:30.5", "c": "2024-01-01", "d": "2024-01-01 10:00:00"}),
        ("a: =\n", {"a": "="}),
        ("1: a\nyes: b\n~: c\n2.50: d\n", {"1": "a", "yes": "b", "~": "c", "2.50": "d"}),
        ("a: &x {k: 1}\nb: *x\n", {"a": {"k": 1}, "b": {"k": 1}}),
        ("d: &x {k: 1, m: 1}\nb:\n  <<: *x\n  k: 2\n", {"d": {"k": 1, "m": 1}, "b": {"k": 2, "m": 1}}),
        ("c: >-\n  python\n  train.py\n", {"c": "python train.py"}),
        ('{"a": [1, {"b": null}], "c": "\\u00e9"}', {"a": [1, {"b": None}], "c": "é"}),
        ("\ufeffa: 1", {"a": 1}),
        ("- 1\n- 2\n", [1, 2]),
    ],
)  # fmt: skip
def test_yaml_becomes_what_json_can_hold(text, data):
    assert parse_document(text).data == data


@pytest.mark.parametrize(
    ("text", "line", "column", "message"),
    [
        ("a: 1\nb: x: y\n", 2, 5, '": " where no key can stand'),
        ("a: 1\n\tb: 2\n", 2, 1, "a tab where only spaces can stand"),
        ("a:\n\tb: 2\n", 2, 1, "a tab where only spaces can stand"),
        ("a:\n  b: 1\n  \tc: 2\n", 3, 3, "a tab where only spaces can stand"),
        ("a: |\n\techo\n", 2, 1, "a tab where only spaces can stand"),
        ("-\ta\n", 1, 2, "a tab where only spaces can stand"),
        ("a: [1, 2\nb: 3\n", 2, 2, "this is no YAML"),
        ("a: 'x\nb: 1\n", 1, 4, "the quote ' is opened here and never closed"),
        ('a: 1\nb: "x\nc: 1\nd: 2\n', 2, 4, 'the quote " is opened here and never closed'),
        ("a: @x\n", 1, 4, "no value begins with @"),
        ("a: 1\nfoo\nb: 2\n", 2, 1, "neither key nor item"),
        ("a: 1\na: 2\n", 2, 1, 'the key "a" is given twice'),
        ("x:\n  a: 1\n  b: 2\n  a: 3\n", 4, 3, 'the key "a" is given twice'),
        ("a: !!python/object:os.system x\n", 1, 4, "means nothing here"),
        ("a: !secret x\n", 1, 4, "the tag !secret means nothing here"),
        ("a: !!binary aGk=\n", 1, 4, "means nothing here"),
        ("a: !!set {x}\n", 1, 4, "means nothing here"),
        ("a: !!int x\n", 1, 4, '"x" is no int'),
        ("? [a]\n: 1\n", 1, 3, "a key is a text"),
        ("a: &x [*x]\n", 1, 4, "an alias that contains itself"),
        ("a: *nowhere\n", 1, 4, "undefined alias"),
        ("a: 1\n---\nb: 2\n", 2, 1, "more than one document"),
        ("a: 1\nb: \x01\n", 2, 4, "a character that YAML does not allow"),
        ("b:\n  <<: 5\n", 2, 7, '"<<" wants a mapping'),
        ("@a: 1\n", 1, 1, "this is no YAML"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(text, line, column, message):
    with pytest.raises(SpecError) as caught:
        parse_document(text, "job.yml")
    [problem] = caught.value.problems
    assert (problem.file, problem.line, problem.column) == ("job.yml", line, column)
    assert message in problem.message


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("a:\n\tb: 2\n", "Replace it by spaces"),
        ("a: [1, 2\nb: 3\n", 'Is the "[" on line 1 closed with "]"?'),
        ("a: {b: 1\nc: 3\n", 'Is the "{" on line 1 closed with "}"?'),
        ("a: 'x\n", "Close it with '."),
        ("a: 'it's'\n", "a quote that ends too early"),
        ("a:1\nb: 2\n", "a space behind each key's colon"),
        ('a: "\\q"\n', "use single quotes"),
    ],
)
def test_the_hint_says_what_to_do(text, hint):
    with pytest.raises(SpecError) as caught:
        parse_document(text)
    assert hint in caught.value.problems[0].hint


def test_several_mistakes_are_listed_together():
    with pytest.raises(SpecError) as caught:
        parse_document("a: 1\na: 2\nb: !x y\n")
    assert [problem.line for problem in caught.value.problems] == [2, 3]


def test_a_bomb_of_aliases_is_refused():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
    with pytest.raises(SpecError, match="too large"):
        parse_document("\n".join(lines))


def test_deep_nesting_is_refused():
    with pytest.raises(SpecError):
        parse_document("[" * 2000 + "]" * 2000)


# PyYAML writes other line ends (NEL, LS, PS) as they are inside quotes, where a reader has to fold them.
LETTERS = st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"])
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(10**12), 10**12)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(LETTERS, max_size=12)
)
KEYS = st.text(LETTERS, max_size=6).filter(lambda key: key != "<<")
DATA = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=12
)


@given(st.dictionaries(KEYS, DATA, max_size=5))
@example({"a": {"1e5": "1e5", "": "", "é": "="}})
def test_what_pyyaml_writes_comes_back(data):
    assert parse_document(yaml.safe_dump(data, allow_unicode=True)).data == data
    assert parse_document(yaml.safe_dump(data, default_flow_style=True)).data == data


@given(st.dictionaries(KEYS, DATA, max_size=5))
def test_json_is_yaml(data):
    read = parse_document(json.dumps(data, ensure_ascii=False)).data
    assert read == data or _has_exponent(data)


def _has_exponent(data) -> bool:
    """YAML 1.1 wants a dot in a number with an exponent; JSON does not write one."""
    if isinstance(data, float):
        return "e" in repr(data)
    items = data.values() if isinstance(data, dict) else data if isinstance(data, list) else ()
    return any(_has_exponent(item) for item in items)


@given(st.text(max_size=80))
def test_any_text_is_a_document_or_a_spec_error(text):
    try:
        parse_document(text, "x.yml")
        problems: tuple[Problem, ...] = ()
    except SpecError as error:
        problems = error.problems
    assert all(problem.line >= 1 and problem.column >= 1 for problem in problems)


@given(st.lists(st.text(max_size=6), max_size=4))
def test_pointers_come_back(parts):
    assert split_pointer(join_pointer(parts)) == parts
