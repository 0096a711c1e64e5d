"""Read a conda specification as what uv installs: a Python version and requirements. No I/O.

Azure ML's environments are conda files; most of what they name exists on PyPI under the same name. The few that differ
are listed here. Of what only conda has, the parts that PyPI's packages bring along are left out, which the build's log
says; anything else makes the build fail with the package's name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from penstock.entities.errors import UsageError

PYPI_NAMES = {
    "pytorch": "torch",
    "pytorch-cpu": "torch",
    "pytorch-gpu": "torch",
    "matplotlib-base": "matplotlib",
    "opencv": "opencv-python-headless",
    "py-opencv": "opencv-python-headless",
    "py-xgboost": "xgboost",
    "msgpack-python": "msgpack",
}
ONLY_ON_CONDA = {"cpuonly", "cudatoolkit", "pytorch-cuda", "libgcc", "_openmp_mutex"}
# uv does pip's work, and "nodefaults" speaks of channels.
NEEDLESS = {"pip", "nodefaults"}
OPTIONS = (
    "--index-url",
    "-i",
    "--extra-index-url",
    "--find-links",
    "-f",
    "--no-index",
    "--pre",
    "--no-binary",
    "--only-binary",
)
_CONDA = re.compile(r"^(?:[\w./-]+::)?(?P<name>[A-Za-z0-9_.-]+)\s*(?P<version>[=<>!~].*|\s[\d*].*)?$")


@dataclass(frozen=True, slots=True)
class Requirements:
    """What a venv holds: the wanted Python (``"3.10"``, None for ours) and lines of a requirements file.

    ``left_out`` names the packages that only conda has.
    """

    python: str | None
    lines: tuple[str, ...]
    left_out: tuple[str, ...] = ()


def read_conda(spec: Mapping[str, Any]) -> Requirements:
    """Return the requirements of a parsed conda file.

    Raises
    ------
    UsageError
        If it has another shape, or asks for what a cached venv cannot hold (``-e``, ``-r``, local paths).
    """
    dependencies = spec.get("dependencies", [])
    if not isinstance(dependencies, list):
        raise UsageError("environment.conda_file: dependencies must be a list")
    python: str | None = None
    lines: list[str] = []
    left_out: list[str] = []
    for item in dependencies:
        if isinstance(item, Mapping):
            if set(item) != {"pip"} or not isinstance(item["pip"], list):
                raise UsageError('environment.conda_file: the only mapping under dependencies is "pip: [...]"')
            lines += [_pip_line(str(line)) for line in item["pip"] if str(line).strip()]
            continue
        name, version = _split(str(item))
        if name == "python":
            python = version.lstrip("=<>~! ").split(",")[0].removesuffix(".*") or None
        elif name in ONLY_ON_CONDA:
            left_out.append(name)
        elif name not in NEEDLESS:
            lines.append(PYPI_NAMES.get(name, name) + version)
    return Requirements(python, tuple(lines), tuple(left_out))


def _split(item: str) -> tuple[str, str]:
    """Return (name, PEP 440 specifier) of conda's ``channel::name=1.2=build``."""
    match = _CONDA.match(item.strip())
    if match is None:
        raise UsageError(f"environment.conda_file: {item!r} is no conda package")
    name, version = match["name"].lower(), (match["version"] or "").strip().replace(" ", "")
    if version.startswith("=") and not version.startswith("=="):
        number = version[1:].split("=")[0].removesuffix(".*").removesuffix("*")
        version = f"=={number}.*"
    elif version.startswith("=="):
        version = "==" + version[2:].split("=")[0]
    elif version[:1].isdigit():
        version = f"=={version.split('=')[0]}"
    return name, version


def _pip_line(line: str) -> str:
    line = line.strip()
    word = line.split()[0].split("=")[0]
    if line.startswith("-") and word not in OPTIONS:
        raise UsageError(
            f"environment.conda_file: pip option {word!r} cannot be used",
            hint="An environment is cached by its content, so it names packages, not files beside it.",
        )
    if line.startswith((".", "/", "file:")) or (line.endswith(".whl") and "://" not in line):
        raise UsageError(
            f"environment.conda_file: {line!r} is a local path",
            hint="Publish the package to an index, or put its source into the job's code folder.",
        )
    return line
