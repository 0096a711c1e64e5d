"""Calls that only the server can answer and that must not be done twice: registering models and their versions.

A version's number is for the server to give, so such a call is never kept for later: while the server is away it is
refused at once, and MLflow's client sends it again. If an answer was lost, nobody knows whether the call was done; so
each carries a mark, the same one when it is sent again, by which the server finds what it did.
"""

from __future__ import annotations

import os
import threading

from penstock.agent.relay.calls import API

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from penstock.agent.relay.upstream import Request

CALLS = frozenset({f"{API}/registered-models/create", f"{API}/model-versions/create"})
MARK = b"x-penstock-once"
MAX_OPEN = 1000
AWAY = (
    "The Penstock server is away, and only it can register a model or give a version its number. Try again: "
    "the same call registers once."
)


class Registering:
    """The marks of calls whose answers nobody has; for any thread.

    Parameters
    ----------
    note : callable
        Writes one line for the user into the job's log.
    """

    def __init__(self, note: Callable[[str], None]) -> None:
        self._note = note
        self._lock = threading.Lock()
        self._open: dict[tuple[str, bytes], str] = {}
        self._has_told = False

    def begin(self, request: Request, path: str) -> bool:
        """Mark a call that registers something and return True; leave any other as it is."""
        if request.method != "POST" or path not in CALLS or request.rest is not None:
            return False
        with self._lock:
            mark = self._open.setdefault((path, request.content), os.urandom(16).hex())
            while len(self._open) > MAX_OPEN:
                del self._open[next(iter(self._open))]
        request.mark(MARK, mark)
        return True

    def end(self, request: Request, path: str) -> None:
        """Forget a call that the server answered; the same one again is another."""
        with self._lock:
            self._open.pop((path, request.content), None)
            self._has_told = False

    def tell(self, path: str) -> None:
        """Say in the job's log, once an outage, what its command waits for."""
        with self._lock:
            is_told, self._has_told = self._has_told, True
        if not is_told:
            what = path.rpartition("/mlflow/")[2]
            self._note(
                f"MLflow's {what} waits for the server, which is away: only it can number a version. MLflow's client "
                "tries again for about four minutes."
            )
