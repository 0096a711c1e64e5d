"""The ``penstock`` command, also as ``python -m penstock.cli``."""

from __future__ import annotations

import gc
import io
import sys
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line and end the process.

    Nothing of a short command becomes garbage before its end, so the collector only looks through what was imported,
    again and again: 12 of 190 ms of CPU of a ``job create``. It is turned off before the imports;
    what stays long turns it on again.
    """
    gc.disable()
    for stream in (sys.stdout, sys.stderr):  # a log may hold what the terminal's encoding cannot
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    from penstock.cli.main import main as run

    run()


if __name__ == "__main__":
    main()
