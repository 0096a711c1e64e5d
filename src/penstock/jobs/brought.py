"""Which contents a limited token has sent itself, so that it may give them a name.

Blobs are shared and a digest is no permission: who may not read content by its digest must not come to it by naming
it a file of its own either. So a job's token, or a person's that is limited to one experiment, may name what it sent,
in this server's lifetime, or what its run names already; anything else is asked for as if it were missing, which costs
an upload and tells nothing of what others have. Nothing is kept on the disk: after a restart an upload more is wanted.
"""

from __future__ import annotations

import threading

MAX_DIGESTS = 500_000
"""In all, about 70 MB; more than one request can name, so an upload never forgets its own beginning."""


class Brought:
    """The digests of what each holder of a token sent; for any thread.

    Parameters
    ----------
    most : int
        Digests kept in all; above it those that were sent first are forgotten, and asked for again.
    """

    def __init__(self, most: int = MAX_DIGESTS) -> None:
        self._most = most
        self._count = 0
        self._holders: dict[str, dict[bytes, None]] = {}
        self._lock = threading.Lock()

    def note(self, holder: str, digest: str) -> None:
        """Remember that a holder sent this content; an attempt's holder is its id."""
        with self._lock:
            held = self._holders.setdefault(holder, {})
            name = bytes.fromhex(digest)
            if name in held:
                return
            held[name] = None
            self._count += 1
            while self._count > self._most:
                self._forget_first()

    def has(self, holder: str, digest: str) -> bool:
        """Return whether a holder is known to have sent this content."""
        with self._lock:
            return bytes.fromhex(digest) in self._holders.get(holder, {})

    def forget(self, holder: str) -> None:
        """Forget a holder whose token ended; idempotent."""
        with self._lock:
            self._count -= len(self._holders.pop(holder, {}))

    def _forget_first(self) -> None:
        holder, held = next(iter(self._holders.items()))
        del held[next(iter(held))]
        self._count -= 1
        if not held:
            del self._holders[holder]
