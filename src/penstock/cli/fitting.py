"""Make a table fit the terminal: long cells are cut first, then the last columns left out, which is said."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from typing import Any

GAP = 2
LEAST = 8

Rows = list[dict[str, Any]]


def fit(rows: Rows, *, width: int | None = None, fixed: Sequence[str] = ()) -> tuple[Rows, list[str]]:
    """Return the rows as they fit, and the columns that were left out.

    Parameters
    ----------
    rows : list of dict
        Header → cell; every row has the same headers.
    width : int, optional
        Of the terminal; without one nothing is cut where no terminal is written to.
    fixed : sequence of str
        Headers of columns that are never cut, such as ids that are copied.
    """
    if width is None:
        if not sys.stdout.isatty():
            return rows, []
        width = shutil.get_terminal_size().columns
    if not rows:
        return rows, []
    headers = list(rows[0])
    wanted = {h: max(len(h), *(len(str(row[h] if row[h] is not None else "")) for row in rows)) for h in headers}
    widths = dict(wanted)
    left_out: list[str] = []
    while _total(widths) > width:
        # The widest goes down to the next widest, and so on, so that short columns stay whole.
        longest = max((h for h in widths if h not in fixed), key=lambda h: widths[h], default=None)
        if longest is not None and widths[longest] > max(LEAST, len(longest)):
            widths[longest] -= 1
        elif len(widths) > 1:
            left_out.insert(0, list(widths)[-1])
            del widths[left_out[0]]
            widths = {h: wanted[h] for h in widths}
        else:
            break
    return [{h: _cut(row[h], widths[h]) for h in widths} for row in rows], left_out


def _total(widths: dict[str, int]) -> int:
    return sum(widths.values()) + GAP * (len(widths) - 1)


def _cut(cell: Any, width: int) -> Any:
    text = str(cell) if cell is not None else ""
    return cell if len(text) <= width else text[: width - 1] + "…"
