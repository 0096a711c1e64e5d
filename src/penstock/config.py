"""The one reader of ``penstock.toml`` and ``PENSTOCK_<TABLE>__<KEY>``.

Other variables that begin with ``PENSTOCK_`` but hold no double underscore belong to other parts
(``PENSTOCK_WORKSPACE``, ``PENSTOCK_DATA_DIR``) and are left alone.
"""

from __future__ import annotations

import difflib
import tomllib
import typing
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from penstock.entities.errors import Problem, SpecError
from penstock.entities.settings import Settings

PREFIX = "PENSTOCK_"
WORDS = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}


def load_settings(config_file: Path, environment: Mapping[str, str]) -> Settings:
    """Return the settings of a workspace; the environment wins over the file.

    Raises
    ------
    SpecError
        For a file that is no TOML, an unknown table or key, or a value of another type; lists all of them.
    """
    problems: list[Problem] = []
    document = _read(config_file)
    settings = Settings()
    tables = {f.name: getattr(settings, f.name) for f in fields(settings)}
    for name, values in document.items():
        if name in tables and not isinstance(values, dict):
            hint = f"Write [{name}] on a line of its own and the settings below it."
            problems.append(Problem("must be a table", pointer=f"/{name}", hint=hint, file=str(config_file)))
            continue
        if name not in tables:
            problems.append(_unknown(str(config_file), f"/{name}", "table", name, list(tables)))
            continue
        tables[name] = _apply(tables[name], values, str(config_file), name, problems)
    for variable, text in environment.items():
        table, separator, key = variable.removeprefix(PREFIX).partition("__")
        if not variable.startswith(PREFIX) or not separator:
            continue
        if table.lower() not in tables:
            problems.append(_unknown(variable, "", "table", table.lower(), list(tables)))
            continue
        tables[table.lower()] = _apply(tables[table.lower()], {key.lower(): text}, variable, "", problems)
    if problems:
        raise SpecError(problems)
    return Settings(**tables)


def _read(config_file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(config_file.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SpecError([Problem(f"no valid TOML: {error}", file=str(config_file))]) from error


def _apply(table: Any, values: Mapping[str, Any], file: str, name: str, problems: list[Problem]) -> Any:
    types = typing.get_type_hints(type(table))
    for key, value in values.items():
        pointer = f"/{name}/{key}" if name else ""
        if key not in types:
            problems.append(_unknown(file, pointer, "setting", key, list(types)))
            continue
        try:
            table = replace(table, **{key: _convert(value, types[key])})
        except ValueError as error:
            problems.append(Problem(str(error), pointer=pointer, file=file))
    return table


def _convert(value: Any, kind: Any) -> Any:
    if kind == tuple[str, ...]:
        items = value.split(",") if isinstance(value, str) else value
        if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
            raise ValueError("must be a list of strings")
        return tuple(item.strip() for item in items if item.strip())
    if kind is str:
        if not isinstance(value, str):
            raise ValueError(f"must be a string, not {value!r}")
        return value
    if kind is bool:
        said = WORDS.get(str(value).lower())
        if said is None:
            raise ValueError(f"must be true or false, not {value!r}")
        return said
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"must be a number, not {value!r}")
    try:
        number = kind(value)
    except ValueError:
        raise ValueError(f"must be a number, not {value!r}") from None
    if number < 0 or (kind is int and isinstance(value, float) and value != number):
        raise ValueError(
            f"must be a whole number from 0, not {value!r}" if kind is int else f"must be from 0, not {value!r}"
        )
    return number


def _unknown(file: str, pointer: str, what: str, name: str, known: list[str]) -> Problem:
    near = difflib.get_close_matches(name, known, n=1)
    hint = f'Did you mean "{near[0]}"?' if near else f"Known: {', '.join(known)}."
    return Problem(f'unknown {what} "{name}"', pointer=pointer, hint=hint, file=file)
