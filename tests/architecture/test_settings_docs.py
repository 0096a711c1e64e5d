"""Every setting is documented, with its type, default and meaning, and nothing else is."""

from __future__ import annotations

import dataclasses
import typing
from pathlib import Path

from penstock.entities.settings import Settings

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "settings.md"


def rows() -> list[str]:
    """Return the rows that ``settings.md`` must hold, in order."""
    lines = []
    for table in dataclasses.fields(Settings):
        defaults = getattr(Settings(), table.name)
        types = typing.get_type_hints(type(defaults))
        for setting in dataclasses.fields(defaults):
            value = getattr(defaults, setting.name)
            shown = str(value).lower() if isinstance(value, bool) else {"": '""', (): "[]"}.get(value, value)
            kinds = {str: "text", int: "whole number", float: "number", bool: "true or false"}
            kind = kinds.get(types[setting.name], "list of texts")
            variable = f"PENSTOCK_{table.name}__{setting.name}".upper()
            lines.append(
                f"| `{table.name}.{setting.name}` | `{variable}` | {kind} | `{shown}` | {setting.metadata['meaning']} |"
            )
    return lines


def test_every_setting_is_documented():
    documented = [line for line in PAGE.read_text("utf-8").splitlines() if line.startswith("| `")]
    assert documented == rows(), "docs/reference/settings.md should hold:\n" + "\n".join(rows())
