"""``python -m penstock.cli.up``: be the supervisor in the foreground and say where the server answers.

A program of its own, started by ``penstock up`` in a fresh interpreter, so that the process that stays
carries neither the command line's modules nor typer's.
"""

from __future__ import annotations

import argparse
import contextlib
import shlex
import sys
from pathlib import Path

from penstock.app.supervisor import serve
from penstock.cli.output import note, report
from penstock.entities.errors import PenstockError
from penstock.home import ServerRecord


def main() -> int:
    """Serve a workspace until a signal ends it."""
    parser = argparse.ArgumentParser(prog="penstock up")
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--host")
    parser.add_argument("--port", type=int)
    parser.add_argument("--place", help="the folder as its user would type it")
    parser.add_argument("--new", action="store_true", help="it is no workspace yet")
    options = parser.parse_args()
    place = options.place or str(options.workspace)
    bearer = f'-H "Authorization: Bearer $(penstock token -w {shlex.quote(place)})"'

    def announce(record: ServerRecord) -> None:
        with contextlib.suppress(OSError):  # the terminal may have gone; the server is not for it alone
            if options.new:
                note(f"Created workspace {place}")
            note(f"Penstock {record.version} serves {options.workspace}")
            note(f"  server   {record.url}")
            note(f"  gateway  {record.gateway_url}")
            note(f"  its API  curl {bearer} {record.url}/openapi.json")
            note("Ctrl-C ends it; running jobs go on.")

    try:
        return serve(options.workspace, host=options.host, port=options.port, announce=announce)
    except PenstockError as error:
        return report(error)


if __name__ == "__main__":
    sys.exit(main())
