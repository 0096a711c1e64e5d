"""Whether a request shows one of its endpoint's keys.

A key that was right once is found again by the header it came in, in a mapping of bounded size: its hash is computed
under a secret of this process, so the time of a look tells nothing. Any other is hashed and compared in constant time.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable

from penstock.serving.codes import UnauthenticatedError

MOST_KNOWN = 1024


class KeyRing:
    """The authorization headers that have been right, by the digest of their key."""

    def __init__(self) -> None:
        self._known: dict[bytes, str] = {}

    def knows(self, header: bytes | None, digests: frozenset[str]) -> bool:
        """Return whether this header has been checked before, and its key is one of these."""
        return header is not None and self._known.get(header) in digests

    def check(self, header: bytes | None, digests: frozenset[str]) -> None:
        """Take a header with one of these keys.

        Raises
        ------
        UnauthenticatedError
            If there is none, or it has another key.
        """
        if self.knows(header, digests):
            return
        scheme, _, key = (header or b"").partition(b" ")
        scheme = scheme.lower()
        if scheme == b"basic":  # for clients that send a user and a password alone, such as MLflow's
            try:
                key = base64.b64decode(key, validate=True).partition(b":")[2]
            except binascii.Error:
                key = b""
        elif scheme != b"bearer":
            raise UnauthenticatedError("the request has no key")
        digest = hashlib.sha256(key.strip()).hexdigest()
        if not _is_one_of(digest, digests):
            raise UnauthenticatedError("the key is not one of this endpoint")
        assert header is not None
        if len(self._known) >= MOST_KNOWN:
            self._known.clear()
        self._known[header] = digest


def _is_one_of(digest: str, digests: Iterable[str]) -> bool:
    found = False
    for known in digests:
        found |= hmac.compare_digest(digest, known)
    return found
