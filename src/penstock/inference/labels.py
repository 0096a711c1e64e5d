"""Names of classes from a model folder's label file: lines, ``id name`` lines, JSON or CSV."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from penstock.entities.errors import Problem, SpecError
from penstock.rules.suggest import did_you_mean

LABEL_FILES = ("labels.txt", "labels.json", "labels.csv", "synset.txt")
_WORDNET = re.compile(r"n\d{8}\s+(\S.*)")
_NUMBERED = re.compile(r"(\d+)\s*[:,\t ]\s*(\S.*)")
_NAME_COLUMNS = ("label", "name", "class", "class_name", "display_name")
_INDEX_COLUMNS = ("index", "id", "class_id", "class_index")


def find_labels(folder: Path, name: str | None = None) -> Path | None:
    """Return the label file of a model folder: the one named, or the first of ``LABEL_FILES`` that is there.

    Raises
    ------
    SpecError
        If the one that is named is not there; its pointer is that of ``postprocessing``.
    """
    if name is None:
        return next((folder / known for known in LABEL_FILES if (folder / known).is_file()), None)
    path = PurePosixPath(name)
    if not path.is_absolute() and ".." not in path.parts and (folder / path).is_file():
        return folder / path
    raise SpecError([missing_labels(name, [entry.name for entry in folder.iterdir() if entry.is_file()])])


def missing_labels(name: str, files: Iterable[str]) -> Problem:
    """Return the problem of a label file that the model's files do not have."""
    there = sorted(files)
    hint = did_you_mean(name, there) or f"It holds: {', '.join(there[:8])}."
    return Problem(f'there is no file "{name}" in the model folder', "/labels", hint)


def read_labels(folder: Path, name: str | None = None) -> tuple[str, ...]:
    """Return the classes' names in the model's order, empty where the folder has no label file.

    A text file has a line a class; WordNet ids (``n02123045 tabby``) or ascending numbers (``0 cat``, ``0: cat``)
    before every name are left out. JSON is a list, a mapping of numbers to names (or to lists that end with the
    name), one of names to numbers, or has such under ``id2label``. CSV has a column ``label`` or ``name`` and
    perhaps ``index``, or no header and one or two columns.

    Raises
    ------
    SpecError
        If the file is missing or can not be meant.
    """
    file = find_labels(folder, name)
    if file is None:
        return ()
    try:
        return parse_labels(file.read_bytes().decode("utf-8-sig"), file.suffix.lower())
    except (ValueError, TypeError, IndexError, AttributeError) as error:
        hint = "Write one line a class, in the model's order."
        raise SpecError([Problem(f"not a file of labels: {error}", file=file.name, hint=hint)]) from error


def parse_labels(text: str, suffix: str) -> tuple[str, ...]:
    """Return the names in a label file's text; raises ValueError and the like for what is none."""
    if suffix == ".json":
        return _from_json(msgspec.json.decode(text))
    if suffix in {".csv", ".tsv"}:
        return _from_table(list(csv.reader(io.StringIO(text), delimiter="\t" if suffix == ".tsv" else ",")))
    lines = [line.strip() for line in text.splitlines()]
    while lines and not lines[-1]:
        lines.pop()
    return _without_ids(lines)


def _without_ids(lines: list[str]) -> tuple[str, ...]:
    named = [_WORDNET.fullmatch(line) for line in lines]
    if lines and all(named):
        return tuple(match.group(1) for match in named if match)
    numbered = [_NUMBERED.fullmatch(line) for line in lines]
    found = [match for match in numbered if match]
    if len(found) == len(lines) > 1 and [int(match.group(1)) for match in found] == list(range(len(lines))):
        return tuple(match.group(2) for match in found)
    return tuple(lines)


def _from_json(data: Any) -> tuple[str, ...]:
    if isinstance(data, Mapping) and isinstance(data.get("id2label"), Mapping):
        data = data["id2label"]
    if isinstance(data, list):
        return tuple(_name(item) for item in data)
    if not isinstance(data, Mapping):
        raise ValueError("neither a list nor a mapping")
    if all(isinstance(value, int) for value in data.values()):
        return _ordered({value: str(key) for key, value in data.items()})
    return _ordered({int(key): _name(value) for key, value in data.items()})


def _name(value: Any) -> str:
    if isinstance(value, list):
        value = value[-1]
    if not isinstance(value, str | int):
        raise ValueError(f"{type(value).__name__} is no name")
    return str(value)


def _from_table(rows: list[list[str]]) -> tuple[str, ...]:
    rows = [[cell.strip() for cell in row] for row in rows if row]
    if not rows:
        return ()
    header = [cell.lower() for cell in rows[0]]
    name = next((header.index(column) for column in _NAME_COLUMNS if column in header), None)
    if name is not None:
        index = next((header.index(column) for column in _INDEX_COLUMNS if column in header), None)
        if index is None or not all(row[index].isdigit() for row in rows[1:]):
            return tuple(row[name] for row in rows[1:])
        return _ordered({int(row[index]): row[name] for row in rows[1:]})
    if all(len(row) == 1 for row in rows):
        return tuple(row[0] for row in rows)
    if all(row[0].isdigit() for row in rows):
        return _ordered({int(row[0]): row[1] for row in rows})
    return tuple(row[1] for row in rows)


def _ordered(names: Mapping[int, str]) -> tuple[str, ...]:
    if sorted(names) != list(range(len(names))):
        raise ValueError(f"its numbers are not those from 0 to {len(names) - 1}")
    return tuple(names[index] for index in range(len(names)))
