"""A folder to work in, and an uploader that keeps what it is given in memory under its real digests."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import pytest

from penstock.entities.asset import Tree, TreeEntry
from penstock.rules.trees import check_tree, tree_digest
from penstock.sdk.spec.snapshot import list_files


class MemoryUploader:
    """Names content as a server does; ``trees`` holds what was uploaded, by reference."""

    def __init__(self) -> None:
        self.trees: dict[str, Tree] = {}

    def upload_tree(self, path: Path, files: Sequence[str] | None = None) -> str:
        is_file = path.is_file()
        names = [path.name] if is_file else list_files(path) if files is None else files
        sources = {name: path if is_file else path / name for name in names}
        tree = Tree(entries=tuple(_entry(name, source) for name, source in sorted(sources.items())), is_file=is_file)
        check_tree(tree)
        reference = f"tree:{tree_digest(tree)}"
        self.trees[reference] = tree
        return reference

    def names(self, reference: str) -> list[str]:
        return [entry.path for entry in self.trees[reference].entries]


def _entry(name: str, source: Path) -> TreeEntry:
    content = source.read_bytes()
    return TreeEntry(path=name, digest=hashlib.sha256(content).hexdigest(), size=len(content))


@pytest.fixture
def uploader() -> MemoryUploader:
    return MemoryUploader()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project folder that is not the current one, so that relative paths cannot work by accident."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    project = tmp_path / "project"
    project.mkdir()
    return project


@pytest.fixture
def write(folder: Path):
    """Write a file below the project folder and return its path."""

    def write_file(name: str, content: str = "x") -> Path:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
        return path

    return write_file
