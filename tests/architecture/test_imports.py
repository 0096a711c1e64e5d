"""Floors, towers and what may enter which process."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "penstock"
PURE = {
    "__future__",
    "abc",
    "base64",
    "bisect",
    "collections",
    "contextlib",
    "copy",
    "dataclasses",
    "datetime",
    "decimal",
    "difflib",
    "enum",
    "fnmatch",
    "fractions",
    "functools",
    "hashlib",
    "heapq",
    "hmac",
    "itertools",
    "json",
    "keyword",
    "math",
    "operator",
    "posixpath",
    "re",
    "shlex",
    "statistics",
    "string",
    "textwrap",
    "types",
    "typing",
    "unicodedata",
    "urllib",
}


def imports_of(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield (file:line, imported module) of everything below a folder."""
    for path in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            place = f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.Import):
                yield from ((place, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.level:
                package = path.relative_to(SOURCE.parent).parts[: -node.level]
                yield place, ".".join((*package, node.module or "")).rstrip(".")
            elif isinstance(node, ast.ImportFrom):
                yield place, node.module or ""


def test_floors_and_towers_are_kept():
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-logo", "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("part", ["agent", "shim"])
def test_agent_and_shim_import_the_standard_library_and_each_other_only(part):
    allowed = ("penstock.agent", "penstock.shim")
    strangers = [
        (place, name)
        for place, name in imports_of(SOURCE / part)
        if name.partition(".")[0] not in sys.stdlib_module_names and not name.startswith(allowed)
    ]
    assert strangers == []


def test_rules_import_pure_parts_only():
    strangers = [
        (place, name)
        for place, name in imports_of(SOURCE / "rules")
        if name.partition(".")[0] not in PURE | {"pydantic", "yaml", "pydantic_core"}
        and not name.startswith(("penstock.rules", "penstock.entities"))
        and name not in {"urllib.parse"}
    ]
    assert strangers == []
    assert not [place for place, name in imports_of(SOURCE / "rules") if name.startswith("urllib.request")]


def test_nobody_prints_to_standard_output_but_the_command_line():
    prints = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in sorted(SOURCE.rglob("*.py"))
        if path.relative_to(SOURCE).parts[0] != "cli"
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
        if not any(keyword.arg == "file" for keyword in node.keywords)
    ]
    assert prints == []


def test_only_the_shim_imports_relatively():
    """Its files are also found under another name, in a user's interpreter."""
    relative = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in sorted(SOURCE.rglob("*.py"))
        if path.relative_to(SOURCE).parts[0] != "shim"
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ImportFrom) and node.level
    ]
    assert relative == []


def test_no_room_is_called_after_nothing():
    nameless = {"utils", "common", "helpers", "misc", "manager", "util", "helper"}
    assert [str(path) for path in SOURCE.rglob("*") if path.stem in nameless] == []


def test_what_the_type_checker_shall_ignore_has_its_reason_on_the_line():
    silent = [
        f"{path.relative_to(ROOT)}:{number}"
        for folder in ("src", "tests", "benchmarks", "examples", "docs")
        for path in sorted((ROOT / folder).rglob("*.py"))
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if re.search(r"# type: [i]gnore(?!\[[a-z-]+\] +# \S)", line)
    ]
    assert silent == []
