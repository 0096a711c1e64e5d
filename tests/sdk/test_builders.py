from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from penstock import Input, Output, command
from penstock.entities.errors import SpecError
from penstock.entities.job import InputSpec


@pytest.mark.parametrize(
    ("build", "hint"),
    [
        (lambda: Input(type="uri_foldr"), 'Did you mean "uri_folder"?'),
        (lambda: Output(type="uri_fil"), 'Did you mean "uri_file"?'),
        (lambda: Output(mode="uplod"), 'Did you mean "upload"?'),
        (lambda: command(command="echo", name="a b"), ""),
        (lambda: command(command="echo", inputs={"a b": 1}), ""),
    ],
)
def test_a_value_that_cannot_be_one_is_a_spec_error_with_the_nearest(build: Any, hint: str) -> None:
    with pytest.raises(SpecError) as caught:
        build()
    [problem] = caught.value.problems
    assert hint in problem.hint


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (Input, {"path": ["a"]}),
        (Output, {"path": 1.5, "type": {}}),
        (command, {"command": "echo", "inputs": "ab"}),
        (command, {"command": "echo", "inputs": {"a": object()}}),
    ],
)
def test_a_value_of_another_kind_is_a_spec_error(build: Any, said: dict[str, Any]) -> None:
    with pytest.raises(SpecError):
        build(**said)


def test_what_was_not_said_stays_unsaid(tmp_path: Path) -> None:
    given = Input(path=tmp_path)
    assert given.model_dump(exclude_unset=True) == {"path": str(tmp_path)}
    assert isinstance(given, InputSpec)
    job = command(command="echo", inputs={"data": given, "rate": 0.5}, outputs={"side": Output(), "other": None})
    assert job.inputs["data"] == InputSpec(path=str(tmp_path))
    assert job.outputs["other"] is None
    assert command(**{**job.model_dump(exclude_unset=True), "inputs": job.inputs}).inputs == job.inputs
