"""Bind the ports of a workspace: the one asked for, else the remembered one, else a free one."""

from __future__ import annotations

import errno
import socket
import time

from penstock.entities.errors import ConflictError, PenstockError, UsageError

PORT_PATIENCE_S = 3.0
"""How long the remembered port is waited for: the children of a killed supervisor let go of it in a moment."""
PORT_RETRY_S = 0.02
BACKLOG = 2048


def bind(host: str, wanted: int, remembered: int, key: str, patience_s: float = PORT_PATIENCE_S) -> socket.socket:
    """Return a listening socket that children inherit.

    Parameters
    ----------
    host : str
        The address.
    wanted : int
        The port that must be; 0 leaves the choice.
    remembered : int
        The port to have again, unless somebody else has it; 0 for none.
    key : str
        The setting to name when ``wanted`` is taken.
    patience_s : float
        How long the remembered port is waited for.

    Raises
    ------
    ConflictError
        If the wanted port is taken.
    UsageError
        If the address cannot be listened on.
    """
    if wanted:
        try:
            return _listen(host, wanted)
        except OSError as error:
            raise _explain(error, host, wanted, key) from error
    deadline = time.monotonic() + patience_s
    port = remembered
    while True:
        try:
            return _listen(host, port)
        except OSError as error:
            if not port or error.errno not in {errno.EADDRINUSE, errno.EACCES}:
                raise _explain(error, host, port, key) from error
            is_refused = error.errno == errno.EACCES
        if is_refused or time.monotonic() > deadline:
            port = 0
        else:
            time.sleep(PORT_RETRY_S)


def address(host: str, listening: socket.socket) -> str:
    """Return the URL at which this machine reaches a socket that is bound to ``host``."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://{f'[{host}]' if ':' in host else host}:{listening.getsockname()[1]}"


def _listen(host: str, port: int) -> socket.socket:
    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(BACKLOG)
        listening.set_inheritable(True)
    except OSError:
        listening.close()
        raise
    return listening


def _explain(error: OSError, host: str, port: int, key: str) -> PenstockError:
    if error.errno == errno.EADDRINUSE:
        return ConflictError(
            f"port {port} on {host} is taken by another program",
            hint=f"Choose another with --port or {key} in penstock.toml; 0 picks a free one.",
        )
    return UsageError(f"cannot listen on {host}:{port}: {error.strerror}", hint="Check --host and --port.")
