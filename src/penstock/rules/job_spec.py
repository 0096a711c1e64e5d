"""What can be said about a command job's specification without asking a workspace.

The client runs this before it uploads anything, the server again: types of literal inputs, inputs without
a path or value, expressions that name nothing.
"""

from __future__ import annotations

from penstock.entities.errors import Problem
from penstock.entities.job import LITERAL_TYPES, CommandJobSpec, InputSpec, OutputSpec, Scalar
from penstock.rules.complaints import show
from penstock.rules.expressions import check_expressions, job_values
from penstock.rules.pointers import join_pointer

_PLACEHOLDER = "…"
_TRUE_WORDS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


def check_job(spec: CommandJobSpec) -> list[Problem]:
    """Return everything that is wrong with a job in itself, each with its pointer."""
    problems = [problem for name, given in spec.inputs.items() for problem in check_input(name, given)]
    inputs = {name: _PLACEHOLDER if is_given(given) else None for name, given in spec.inputs.items()}
    values = job_values(inputs, dict.fromkeys(spec.outputs, _PLACEHOLDER), _PLACEHOLDER)
    problems += check_expressions(spec.command, values, pointer="/command")
    return problems


def check_input(name: str, given: InputSpec | Scalar) -> list[Problem]:
    """Return what is wrong with one input."""
    if not isinstance(given, InputSpec):
        return []
    pointer = join_pointer(["inputs", name])
    if given.path is not None and (given.value is not None or given.type in LITERAL_TYPES):
        what = f'of type "{given.type}" has no path' if given.type in LITERAL_TYPES else "has either path or value"
        return [Problem(f"an input {what}", f"{pointer}/path", "Files and folders have a path, literals a value.")]
    key = "value" if given.value is not None else "default"
    if given.type in LITERAL_TYPES:
        value = literal_of(given)
        if value is None:
            return (
                [] if given.optional else [Problem("this input has no value", pointer, "Add value, or optional: true.")]
            )
        if coerce_literal(value, given.type) is None:
            return [Problem(f"{show(value)} is no {given.type}", f"{pointer}/{key}")]
        return []
    if given.value is not None:
        return [] if "type" not in given.model_fields_set else [_needs_path(given, f"{pointer}/value")]
    if given.path is None and not given.optional:
        return [_needs_path(given, pointer)]
    return []


def _needs_path(given: InputSpec, pointer: str) -> Problem:
    hint = "Say where it is: a file, a folder, azureml:<name>:<version> or an http(s) address."
    return Problem(f"an input of type {given.type} needs a path", pointer, hint)


def is_given(given: InputSpec | Scalar) -> bool:
    """Return whether an input has something to hand over: a literal, a default or a path."""
    return not isinstance(given, InputSpec) or given.path is not None or literal_of(given) is not None


def literal_of(given: InputSpec | Scalar) -> Scalar | None:
    """Return an input's literal: the value, else the default; None for content and for nothing."""
    if not isinstance(given, InputSpec):
        return given
    if given.path is not None:
        return None
    value = given.default if given.value is None else given.value
    if value is None or given.type not in LITERAL_TYPES:
        return value
    coerced = coerce_literal(value, given.type)
    return value if coerced is None else coerced


def coerce_literal(value: Scalar, kind: str) -> Scalar | None:
    """Return a literal as its declared type, or None when it is none; numbers keep the text they were written as."""
    if kind == "string":
        return value if isinstance(value, str) else str(value)
    if kind == "boolean":
        return value if isinstance(value, bool) else _TRUE_WORDS.get(str(value).strip().lower())
    if isinstance(value, bool):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    if kind == "integer" and not number.is_integer():
        return None
    return int(value) if kind == "integer" and not isinstance(value, str) else value


def output_of(given: OutputSpec | None) -> OutputSpec:
    """Return an output's settings; an empty output has the defaults."""
    return OutputSpec() if given is None else given
