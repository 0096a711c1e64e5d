"""The how-to about jobs is true: its YAML loads, and the mistake it shows is complained about in these words."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from penstock.entities.errors import SpecError
from penstock.sdk.spec.jobs import load_job

PAGE = (Path(__file__).parents[3] / "docs" / "how-to" / "jobs.md").read_text("utf-8")
EXAMPLES = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
*RIGHT, WRONG = EXAMPLES
[COMPLAINT] = re.findall(r"```\n(job\.yml.*?)\n```", PAGE, re.DOTALL)


@pytest.fixture
def project(folder, write, monkeypatch):
    """The folder that the page tells of, as the current one."""
    write("src/train.py", "print()")
    write("data/a.csv", "1")
    monkeypatch.chdir(folder)
    return write


@pytest.mark.parametrize("example", RIGHT)
def test_the_page_s_yaml_is_a_job_or_a_part_of_one(example, project, uploader):
    text = example if example.startswith("command:") else f"command: echo\n{example}"
    project("job.yml", text)
    assert load_job("job.yml", uploader=uploader).spec.command


def test_the_page_s_mistake_gives_the_page_s_complaint(folder, project, uploader):
    project("job.yml", WRONG)
    with pytest.raises(SpecError) as caught:
        load_job("job.yml", uploader=uploader)
    assert str(caught.value).replace(str(folder), "/home/ada/digits") == COMPLAINT
