"""Folders as values: order, check and name the list of files a tree is."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from itertools import pairwise

from penstock.entities.asset import Tree, TreeEntry
from penstock.entities.errors import InvalidPathError
from penstock.rules.artifact_paths import check_path


def make_tree(entries: Iterable[TreeEntry], *, is_file: bool = False) -> Tree:
    """Return a tree with its entries sorted by path and checked.

    Raises
    ------
    InvalidPathError
        If a path escapes the root, occurs twice, or is a file and a folder at once; or if ``is_file``
        and there is not exactly one entry.
    """
    tree = Tree(entries=tuple(sorted(entries, key=lambda entry: entry.path)), is_file=is_file)
    check_tree(tree)
    return tree


def check_tree(tree: Tree) -> None:
    """Raise InvalidPathError unless the tree is one that ``make_tree`` would build."""
    paths = [check_path(entry.path) for entry in tree.entries]
    if tree.is_file and (len(paths) != 1 or "/" in paths[0]):
        raise InvalidPathError("a single-file tree holds exactly one file and no folder")
    if paths != sorted(paths):
        raise InvalidPathError("the files of a tree are listed in the order of their paths")
    files = set(paths)
    if len(files) != len(paths):
        twice = next(path for path, following in pairwise(paths) if path == following)
        raise InvalidPathError(f'"{twice}" is in the tree twice')
    for path in paths:
        folder = path.rpartition("/")[0]
        while folder:
            if folder in files:
                raise InvalidPathError(f'"{folder}" is both a file and a folder in the tree')
            folder = folder.rpartition("/")[0]


def tree_digest(tree: Tree) -> str:
    """Return the SHA-256 of the tree's canonical JSON, in hex; equal content has an equal digest."""
    return hashlib.sha256(tree.model_dump_json().encode()).hexdigest()


def subtree(tree: Tree, path: str) -> Tree | None:
    """Return what lies at ``path`` inside a tree as a tree of its own, or None when nothing does.

    ``""`` is the whole. A path that names a file gives a single-file tree under the file's own name.
    """
    if path in ("", "."):
        return tree
    wanted = check_path(path.rstrip("/"))
    prefix = wanted + "/"
    for entry in tree.entries:
        if entry.path == wanted:
            return Tree(entries=(entry.model_copy(update={"path": wanted.rpartition("/")[2]}),), is_file=True)
    inside = tuple(
        entry.model_copy(update={"path": entry.path[len(prefix) :]})
        for entry in tree.entries
        if entry.path.startswith(prefix)
    )
    return Tree(entries=inside) if inside else None
