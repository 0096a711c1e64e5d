"""Start an agent: wait for an assignment on standard input, or finish one with ``--collect SPOOL``.

Run as ``python -I -S .../penstock/agent/__main__.py``, so neither site-packages nor the user's environment
slow the start or change what is imported. The line below is the only thing that lets ``penstock`` be found.
"""

from __future__ import annotations

import os
import sys

if __package__ in {None, ""}:
    sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from penstock.agent.attempt import collect_attempt, run_attempt
from penstock.agent.signals import become_subreaper

USAGE = "usage: python -I -S penstock/agent/__main__.py [--collect SPOOL_FOLDER]"
EXIT_USAGE = 2


def main(arguments: list[str]) -> int:
    """Run one attempt, or collect what one left, and return the exit status."""
    if arguments and (len(arguments) != 2 or arguments[0] != "--collect"):
        print(USAGE, file=sys.stderr)
        return EXIT_USAGE
    if arguments:
        return collect_attempt(arguments[1])
    become_subreaper()
    line = sys.stdin.buffer.readline()
    if not line.endswith(b"\n"):
        return 0
    return run_attempt(line)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
