"""The public scoring server itself, installed on demand: what is recorded is what it answers."""

from __future__ import annotations

import json

import pytest
from tests.scoring.cases import CASES, REFUSED, Case
from tests.scoring.driver import lay_out, status_of
from tests.scoring.record import answers, our_command, public_command, recorded

pytestmark = pytest.mark.long


@pytest.mark.parametrize("name", CASES)
def test_the_recording_is_what_the_public_server_answers(name, tmp_path, public_python):
    got = answers(public_command(public_python), CASES[name], tmp_path)
    assert repr(json.loads(json.dumps(got))) == repr(recorded()["cases"][name])


@pytest.mark.parametrize("name", REFUSED)
def test_the_public_server_refuses_the_same_scripts(name, tmp_path, public_python):
    lay_out(Case(REFUSED[name], ()), tmp_path)
    assert status_of(public_command(public_python), tmp_path)[0] == recorded()["refused"][name]


def test_installed_modules_of_azure_come_before_ours(tmp_path, public_python):
    """A script that uses the installed ones gets flask's request, and answers the same."""
    script = CASES["raw"].script.replace("azureml.contrib.services", "azureml_inference_server_http.api")
    script = script.replace(
        "def init(): pass", "import flask\ndef init(): assert issubclass(AMLResponse, flask.Response)"
    )
    case = Case(script, CASES["raw"].asks)
    got = answers(our_command(public_python, tmp_path), case, tmp_path)
    assert repr(json.loads(json.dumps(got))) == repr(recorded()["cases"]["raw"])
