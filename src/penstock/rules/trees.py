"""Folders as values: check and name the list of files a tree is."""

from __future__ import annotations

import hashlib
from itertools import pairwise

from penstock.entities.asset import Tree
from penstock.entities.errors import InvalidPathError
from penstock.rules.artifact_paths import check_path


def check_tree(tree: Tree) -> None:
    """Raise InvalidPathError unless a folder can be what the tree says, and its files are listed in order.

    A path must not escape the root, occur twice, or be a file and a folder at once; a single-file tree has one entry.
    """
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
