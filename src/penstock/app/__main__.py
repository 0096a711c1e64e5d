"""``python -m penstock.app ROLE``: the processes of a workspace.

``up`` is the supervisor and imports the standard library alone; ``server`` and ``gateway``
are its children, ``reader`` is the server's. They get their sockets and pipes by inherited file descriptors.
``copy-store`` is for people.
"""

from __future__ import annotations

import gc
import sys


def main(arguments: list[str]) -> int:
    """Run one role and return its exit status."""
    role = arguments[0] if arguments else ""
    if role in {"server", "reader"}:
        # Nothing that is loaded or composed is garbage, and walking it all again and again costs a tenth of the start.
        gc.disable()
    if role == "up":
        from penstock.app.supervisor import main as run
    elif role == "server":
        from penstock.app.server import main as run
    elif role == "gateway":
        from penstock.app.gateway import main as run
    elif role == "reader":
        from penstock.app.reader import main as run
    elif role == "copy-store":
        from penstock.app.copying import main as run
    else:
        sys.stderr.write("usage: python -m penstock.app up|server|gateway|reader|copy-store --workspace DIR\n")
        return 2
    return run(arguments[1:])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
