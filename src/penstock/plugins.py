"""The one lazy loader of optional parts: a name becomes ``module:Class`` and the extra that installs it.

Nothing here imports what it names; a part is loaded when it is first asked for, so the client, the command
line and an idle server stay small. Others add parts with the entry point group ``penstock.plugins``, under the
name ``<group>.<part>``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module, metadata
from types import ModuleType
from typing import Any

from penstock.entities.errors import UsageError

ENTRY_POINT_GROUP = "penstock.plugins"


@dataclass(frozen=True, slots=True)
class Plugin:
    """One optional part: where it is (``module:attribute``) and which extra brings what it needs."""

    target: str
    extra: str = ""


PLUGINS: Mapping[str, Plugin] = {
    "runtime.onnx": Plugin("penstock.inference.runtimes.onnx:OnnxRuntime"),
    "inference.load_model": Plugin("penstock.inference.model:load_model"),
    "metadata.postgresql": Plugin("penstock.stores.metadata.engine.postgres:PostgresMetadataStore", "postgres"),
    "metadata.postgresql_reader": Plugin(
        "penstock.stores.metadata.engine.postgres_reader:open_postgres_reader", "postgres"
    ),
}

MODULES: Mapping[str, str] = {
    "numpy": "",
    "onnxruntime": "",
    "PIL.Image": "",
    "cv2": "fast-images",
    "pandas": "pandas",
    "pyarrow": "arrow",
    "pyarrow.parquet": "arrow",
    "re2": "",
    "simplejpeg": "fast-images",
    "yaml": "",
}
"""Third-party modules that are loaded lazily, and the extra each comes with (empty: the plain install)."""


class MissingPartError(UsageError):
    """An optional part, or a library it needs, is not installed."""

    code = "missing_part"


def load(name: str) -> Any:
    """Import and return the part called ``name``, such as ``runtime.onnx``.

    Raises
    ------
    UsageError
        If no part has that name; the message lists those of its group.
    MissingPartError
        If the part, or a library it needs, is not installed; the hint is the command that installs it.
    """
    plugin = _find(name)
    module_name, _, attribute = plugin.target.partition(":")
    try:
        module = import_module(module_name)
    except ModuleNotFoundError as error:
        raise _missing(name, error, plugin.extra) from error
    try:
        return getattr(module, attribute) if attribute else module
    except AttributeError as error:
        raise UsageError(f"{plugin.target} does not exist", hint=f"Mend the entry point of {name}.") from error


def load_module(name: str, *, extra: str | None = None, needed_by: str = "") -> ModuleType:
    """Import a third-party module that not every process needs.

    Parameters
    ----------
    name : str
        The module, such as ``onnxruntime``.
    extra : str, optional
        The extra it comes with; default is what ``MODULES`` says.
    needed_by : str
        What it is loaded for, such as ``a data frame``; the error says it.

    Raises
    ------
    MissingPartError
        If it is not installed.
    """
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        raise _missing(needed_by or name, error, MODULES.get(name, "") if extra is None else extra) from error


def names(group: str) -> list[str]:
    """Return the names of a group's parts without the group: ``names("runtime")`` has ``onnx``."""
    prefix = f"{group}."
    known = [*PLUGINS, *_entry_points()]
    return sorted({name.removeprefix(prefix) for name in known if name.startswith(prefix)})


def _find(name: str) -> Plugin:
    plugin = PLUGINS.get(name) or _entry_points().get(name)
    if plugin is not None:
        return plugin
    group = name.partition(".")[0]
    there = ", ".join(f"{group}.{part}" for part in names(group))
    raise UsageError(
        f"there is no part called {name!r}",
        hint=f"Known parts of {group}: {there}." if there else f"There is no group of parts called {group!r}.",
    )


@cache
def _entry_points() -> Mapping[str, Plugin]:
    found = metadata.entry_points(group=ENTRY_POINT_GROUP)
    return {point.name: Plugin(point.value) for point in found}


def _missing(name: str, error: ModuleNotFoundError, extra: str) -> MissingPartError:
    package = f"'penstock[{extra}]'" if extra else "--force-reinstall penstock"
    module = f"the module {error.name!r}"
    return MissingPartError(
        f"{module} is not installed" if name == error.name else f"{name} needs {module}, which is not installed",
        hint=f"Install it with: python -m pip install {package}",
    )
