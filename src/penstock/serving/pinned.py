"""Which packages, at which versions, a deployment needs: read from the very interpreter that answers for it."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property

from penstock.entities.errors import RefusedError

_LIST = """
import json, sys
from importlib.metadata import distributions
found = []
for one in distributions():
    modules = set()
    for file in one.files or []:
        first = file.parts[0]
        if not first.endswith((".dist-info", ".egg-info", ".data")) and first not in ("..", "__pycache__"):
            modules.add(first.partition(".")[0])
    name = one.metadata["Name"]
    if name:
        found.append({"name": name, "version": one.version, "requires": one.requires or [], "modules": sorted(modules)})
print(json.dumps({"python": "%d.%d.%d" % sys.version_info[:3], "packages": found}))
"""
_SCAN = """
import json, os, re, sys
os.nice(10)
source = sys.stdin.buffer
names = "|".join(map(re.escape, json.loads(source.readline())))
pattern = re.compile(rb"(%b)(?=\\.[A-Za-z_]|\\n|[\\x80-\\xff])" % names.encode("utf-8"))
found, rest = set(), b""
while piece := source.read(1 << 20):
    piece = rest + piece
    found.update(pattern.findall(piece))
    rest = piece[-200:]
print(json.dumps([name.decode("utf-8") for name in found]))
"""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_TOOLS = frozenset({"penstock", "pip", "setuptools", "wheel", "uv"})
LIST_TIMEOUT_S = 60
MOST_SCANNED_BYTES = 64 * 2**20
"""So much of the beginning of each pickle is looked through."""
_PICKLES = (".pkl", ".pickle", ".joblib", ".dill", ".sav", ".pt", ".pth")
_PICKLE_STARTS = tuple(bytes((0x80, protocol)) for protocol in range(2, 6))


@dataclass(frozen=True, slots=True)
class Package:
    """One installed distribution; ``requires`` are normal names, of extras none."""

    name: str
    version: str
    requires: tuple[str, ...]
    modules: tuple[str, ...]


@dataclass(frozen=True)
class Installed:
    """What an interpreter has; ``packages`` are by their normal name."""

    python: str
    packages: Mapping[str, Package]

    @cached_property
    def by_module(self) -> dict[str, set[str]]:
        """Return the packages that bring each top-level module."""
        found: dict[str, set[str]] = {}
        for name, package in self.packages.items():
            for module in package.modules:
                found.setdefault(module, set()).add(name)
        return found

    def owners(self, modules: Iterable[str]) -> set[str]:
        """Return the packages that bring these modules."""
        return {name for module in modules for name in self.by_module.get(module, ())}

    def pin_all(self) -> list[str]:
        """Return every package as a line of a requirements file."""
        return self._lines(self.packages)

    def pin(self, names: Iterable[str]) -> list[str]:
        """Return these packages, and what they need, as lines of a requirements file."""
        needed: set[str] = set()
        waiting = list(names)
        while waiting:
            name = waiting.pop()
            if name in self.packages and name not in needed and name not in _TOOLS:
                needed.add(name)
                waiting += self.packages[name].requires
        return self._lines(needed)

    def _lines(self, names: Iterable[str]) -> list[str]:
        chosen = sorted(name for name in names if name not in _TOOLS)
        return [f"{self.packages[name].name}=={self.packages[name].version}" for name in chosen]


def read_installed(interpreter: str) -> Installed:
    """Ask an interpreter what it has.

    Raises
    ------
    RefusedError
        If it does not answer.
    """
    try:
        done = subprocess.run(
            [interpreter, "-I", "-c", _LIST], capture_output=True, check=True, timeout=LIST_TIMEOUT_S, text=True
        )
        told = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise RefusedError(f"{interpreter} does not tell which packages it has: {error}") from error
    packages = {}
    for one in told["packages"]:
        requires = tuple(name for text in one["requires"] if (name := _required(text)))
        packages[normal(one["name"])] = Package(one["name"], one["version"], requires, tuple(one["modules"]))
    return Installed(told["python"], packages)


def imported_modules(source: bytes) -> Iterator[str]:
    """Yield the top-level modules that a Python file imports, wherever in it; of what is no Python, none."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def is_pickle(name: str, start: bytes) -> bool:
    """Return whether a file may be a pickle, by its name or its first bytes."""
    return name.lower().endswith(_PICKLES) or start.startswith(_PICKLE_STARTS)


def mentioned_modules(pieces: Iterable[bytes], modules: Iterable[str]) -> set[str]:
    """Return those modules that a file seems to name as a pickle names the classes it holds; one too many is no harm.

    What stands before a name may be any byte of the pickle; a name of one or two letters is found everywhere. A
    process of its own looks, as it may take seconds that this one's other threads would have to wait for.

    Raises
    ------
    RefusedError
        If that process fails.
    """
    names = sorted(module for module in modules if len(module) > 2)
    if not names:
        return set()
    left = MOST_SCANNED_BYTES
    with subprocess.Popen(
        [sys.executable, "-I", "-c", _SCAN], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as scanner:
        assert scanner.stdin is not None
        assert scanner.stdout is not None
        try:
            scanner.stdin.write(json.dumps(names).encode("ascii") + b"\n")
            for piece in pieces:
                scanner.stdin.write(piece[:left])
                left -= len(piece)
                if left <= 0:
                    break
            scanner.stdin.close()
            return set(json.loads(scanner.stdout.read()))
        except (OSError, ValueError) as error:
            raise RefusedError(f"the model's pickles could not be looked through: {error}") from error
        finally:
            scanner.kill()
            with suppress(OSError):  # what it still holds goes nowhere
                scanner.stdin.close()


def normal(name: str) -> str:
    """Return a package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _required(text: str) -> str:
    """Return the name in a ``Requires-Dist``, empty where only an extra wants it."""
    head, _, marker = text.partition(";")
    match = _NAME.match(head.strip())
    return normal(match.group()) if match and "extra" not in marker else ""
