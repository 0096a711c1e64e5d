from __future__ import annotations

import subprocess
import sys

import pytest

from penstock import __version__
from penstock.cli.main import COMMANDS

HEAVY = ("pydantic", "yaml", "http.client", "ssl", "rich", "jmespath", "subprocess", "penstock.sdk", "penstock.app")


def loaded_after(*arguments: str) -> set[str]:
    program = (
        "import sys\nfrom typer.main import get_command\nfrom penstock.cli.main import app\n"
        "try:\n    get_command(app)(prog_name='penstock')\n"
        "finally:\n    sys.stderr.write('\\n'.join(sys.modules))"
    )
    words = [sys.executable, "-c", program, *arguments]
    return set(subprocess.run(words, capture_output=True, text=True, check=True).stderr.split())


def test_help_lists_every_command_and_loads_none(cli) -> None:
    done = cli("--help")
    assert done.status == 0
    for name, (_, summary) in COMMANDS.items():
        assert f"  {name} " in done.out
        assert summary.split()[0] in done.out
    modules = loaded_after("--help")
    assert {name for name in HEAVY if name in modules} <= {"subprocess"}  # typer itself may load subprocess
    assert not {name for name in modules if name.startswith("penstock.cli.")} - {
        "penstock.cli.main",
        "penstock.cli.command",
        "penstock.cli.output",
    }


def test_help_of_a_group_loads_neither_entities_nor_yaml() -> None:
    modules = loaded_after("job", "--help")
    assert not {"penstock.entities.job", "penstock.rules", "yaml", "rich", "jmespath"} & modules


@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_no_summary_is_cut_in_a_narrow_terminal(cli, monkeypatch, name: str) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    listed = cli(*name.split(), "-h").out.partition("Commands:")[2]
    assert "..." not in listed, listed


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_command_has_help_with_examples(cli, name: str) -> None:
    done = cli(name, "--help")
    assert done.status == 0, done.err
    if "Commands:" not in done.out:
        assert "Examples:" in done.out
        return
    verbs = [
        line.split()[0]
        for line in done.out.partition("Commands:")[2].splitlines()
        if line.startswith("  ") and line[2] != " "
    ]
    assert verbs
    for verb in verbs:
        text = cli(name, verb, "-h").out
        assert f"penstock {name} {verb}" in text.partition("Examples:")[2], text


def test_version(cli) -> None:
    assert cli("--version").out == f"penstock {__version__}\n"


def test_mistyped_command_gets_the_nearest(cli) -> None:
    done = cli("modle", "list")
    assert done.status == 2
    assert "Did you mean 'model'" in done.err
    assert "Did you mean 'stream'" in cli("job", "straem").err


def test_missing_and_unknown_options_are_usage_errors(cli) -> None:
    assert cli("job", "show").status == 2
    done = cli("job", "list", "--limti", "3")
    assert done.status == 2
    assert done.out == ""


def test_flags_of_az_ml_are_ignored_with_one_line(lab) -> None:
    words = ["-g", "group", "--subscription=x", "--workspace-name", "w", "--only-show-errors"]
    done = lab("job", "list", *words, "-o", "json")
    assert done.status == 0
    warnings = [line for line in done.err.splitlines() if line.startswith("warning")]
    assert warnings == [
        "warning: -g, --subscription, --workspace-name, --only-show-errors mean nothing here and are ignored"
    ]
