"""The promise of whoever brings local content to the server; the spec loaders know nothing of HTTP."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol


class Uploader(Protocol):
    """Makes local files available to the server under their content's digest.

    An implementation may answer from a cache and may skip what the server already has; when
    ``upload_tree`` returns, the server holds the tree and every file in it.
    """

    def upload_tree(self, path: Path, files: Sequence[str] | None = None) -> str:
        """Upload a file or folder and return ``tree:<sha256>``.

        Parameters
        ----------
        path : Path
            An existing file or folder.
        files : sequence of str, optional
            Of a folder, the relative POSIX paths to take, sorted; by default ``snapshot.list_files(path)``.
            Not given for a file.
        """
        ...
