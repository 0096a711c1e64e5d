"""What README tells a newcomer is what works: ``make demo``, twice, through the real command line and HTTP."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def quick_start() -> list[str]:
    """Return the commands of README's first code block."""
    block = re.search(r"```\w*\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)
    assert block is not None
    return [line.partition("#")[0].strip() for line in block.group(1).splitlines()]


def run_demo(lab) -> str:
    """Run the quick start's first command in this environment and return what it printed."""
    command = [*quick_start()[0].split(), f"VENV={sys.prefix}"]
    done = subprocess.run(
        command, cwd=ROOT, env=lab.environment, capture_output=True, text=True, check=False, timeout=110
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_readme_begins_with_the_two_commands():
    assert quick_start() == ["make demo", "make test"]


@pytest.mark.example
@pytest.mark.timeout(240)
def test_demo_runs_twice_and_the_curl_line_works(lab):
    first = run_demo(lab)
    assert "they agree exactly" in first
    over_http = re.search(r"accuracy over HTTP\s+(\d\.\d+)", first)
    assert over_http is not None
    assert float(over_http.group(1)) >= 0.95

    second = run_demo(lab)
    assert "they agree exactly" in second
    assert "digits:2" in second
    update = re.search(r"rolling update: (\d+) requests meanwhile, (\d+) failed", second)
    assert update is not None
    assert int(update.group(1)) > 0
    assert int(update.group(2)) == 0

    token = lab.run("token").strip()
    [api] = re.findall(r'curl -H "Authorization: Bearer \$\(\S+ token\)" (http://\S+)', second)
    with urllib.request.urlopen(
        urllib.request.Request(api, headers={"Authorization": f"Bearer {token}"}), timeout=10
    ) as response:
        assert json.load(response)["openapi"]

    body = re.search(r"-d '(\{.*\})'", second)
    url = re.search(r"^\s+(http://\S+/score)$", second, re.MULTILINE)
    shown = re.search(r"this picture shows a (\d)", second)
    assert body is not None
    assert url is not None
    assert shown is not None
    key = lab.run("online-endpoint", "get-credentials", "-n", "digits", "--query", "primary_key", "-o", "tsv").strip()
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    request = urllib.request.Request(url.group(1), body.group(1).encode(), headers)
    with urllib.request.urlopen(request, timeout=10) as response:
        assert json.load(response)["predictions"][0]["label"] == shown.group(1)
    assert set(re.findall(r"http://\S+", second.partition("It is still running")[2])) == {api, url.group(1)}
