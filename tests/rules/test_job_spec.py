from __future__ import annotations

import pytest

from penstock.entities.job import CommandJobSpec, InputSpec, OutputSpec
from penstock.rules.job_spec import check_job, coerce_literal, is_given, literal_of, output_of


def problems_of(inputs, command="echo"):
    return check_job(CommandJobSpec(command=command, inputs=inputs))


@pytest.mark.parametrize(
    "given",
    [
        0.1,
        "text",
        True,
        {"type": "integer", "value": 3},
        {"type": "integer", "value": "3"},
        {"type": "integer", "value": 3.0},
        {"type": "number", "default": "1e-3"},
        {"type": "boolean", "value": "true"},
        {"type": "string", "value": 5},
        {"type": "string", "value": ""},
        {"type": "number", "optional": True},
        {"type": "uri_folder", "path": "data"},
        {"type": "uri_folder", "optional": True},
        {"path": "data"},
        {"value": 1},
    ],
)
def test_inputs_that_mean_something(given):
    assert problems_of({"x": given}) == []


@pytest.mark.parametrize(
    ("given", "pointer", "message"),
    [
        ({"type": "integer", "value": 1.5}, "/inputs/x/value", "1.5 is no integer"),
        ({"type": "integer", "default": "abc"}, "/inputs/x/default", '"abc" is no integer'),
        ({"type": "integer", "value": True}, "/inputs/x/value", "true is no integer"),
        ({"type": "boolean", "value": "maybe"}, "/inputs/x/value", '"maybe" is no boolean'),
        ({"type": "number"}, "/inputs/x", "this input has no value"),
        ({"type": "number", "path": "a"}, "/inputs/x/path", 'an input of type "number" has no path'),
        ({"type": "uri_file", "path": "a", "value": 1}, "/inputs/x/path", "an input has either path or value"),
        ({"type": "uri_file", "value": 1}, "/inputs/x/value", "an input of type uri_file needs a path"),
        ({"type": "uri_file"}, "/inputs/x", "an input of type uri_file needs a path"),
    ],
)
def test_inputs_that_contradict_themselves(given, pointer, message):
    [problem] = problems_of({"x": given})
    assert (problem.pointer, problem.message) == (pointer, message)


def test_the_command_is_checked_against_the_inputs():
    [problem] = problems_of(
        {"rate": 1, "seed": {"type": "integer", "optional": True}}, "x ${{inputs.rat}} ${{inputs.rate}}"
    )
    assert problem.pointer == "/command"
    [problem] = problems_of({"seed": {"type": "integer", "optional": True}}, "x ${{inputs.seed}}")
    assert "has no value" in problem.message
    assert problems_of({"seed": {"type": "integer", "optional": True}}, "x $[[${{inputs.seed}}]] ${{name}}") == []


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        (3, "string", "3"),
        ("3", "integer", "3"),
        (3.0, "integer", 3),
        ("1e-3", "number", "1e-3"),
        ("nan", "integer", None),
        ("x", "number", None),
        ("Yes", "boolean", True),
        (0, "boolean", False),
        (1, "boolean", True),
        (2, "boolean", None),
    ],
)
def test_literals_take_their_declared_type(value, kind, expected):
    coerced = coerce_literal(value, kind)
    assert coerced == expected
    assert type(coerced) is type(expected)


def test_what_an_input_hands_over():
    assert literal_of(InputSpec(type="integer", default=3)) == 3
    assert literal_of(InputSpec(type="integer", default=3, value=4)) == 4
    assert literal_of(InputSpec(path="a")) is None
    assert literal_of(7) == 7
    assert is_given(InputSpec(path="a"))
    assert not is_given(InputSpec(type="integer", optional=True))
    assert output_of(None) == OutputSpec()
