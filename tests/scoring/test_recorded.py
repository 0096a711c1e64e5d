"""Our scoring server answers as the public one did when it was recorded: codes, headers and bodies."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from tests.scoring.cases import CASES, REFUSED, Case
from tests.scoring.driver import ask, lay_out, serving, status_of
from tests.scoring.record import our_command, recorded

PLAIN = [name for name, case in CASES.items() if not case.needs_schema]
DESCRIBED = [name for name, case in CASES.items() if case.needs_schema]


def check(name: str, python: Path, folder: Path) -> None:
    case = CASES[name]
    lay_out(case, folder)
    with serving(our_command(python, folder), folder, case.environment) as port:
        for sent, expected in zip(case.asks, recorded()["cases"][name], strict=True):
            got = json.loads(json.dumps(ask(port, sent)))
            assert repr(got) == repr(expected), sent  # NaN is equal to itself only so


@pytest.mark.parametrize("name", PLAIN)
def test_answers_are_those_of_the_public_server(name, tmp_path):
    check(name, Path(sys.executable), tmp_path)


@pytest.mark.parametrize("name", DESCRIBED)
def test_scripts_with_a_schema_are_hosted_as_by_the_public_server(name, tmp_path, schema_python):
    check(name, schema_python, tmp_path)


@pytest.mark.parametrize("name", REFUSED)
def test_a_script_that_cannot_be_hosted_ends_the_server_with_status_3(name, tmp_path, request):
    script = REFUSED[name]
    needs_schema = Case(script, ()).needs_schema
    python = request.getfixturevalue("schema_python") if needs_schema else Path(sys.executable)
    lay_out(Case(script, ()), tmp_path)
    status, said = status_of(our_command(python, tmp_path), tmp_path)
    assert status == recorded()["refused"][name] == 3
    assert "penstock" not in said.replace(str(tmp_path), "")
