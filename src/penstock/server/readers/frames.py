"""How server and reader process talk over their socket: a head of fixed size, then bytes.

A question is its number, then a packed ``[name, argument]``. An answer is the number of its question and whether there
is one, then the answer itself as it goes to the client.
"""

from __future__ import annotations

import socket
import struct

QUESTION = struct.Struct("!QQ")
"""Number, length."""
ANSWER = struct.Struct("!QBQ")
"""Number, status, length."""
READY, ANSWERED, FAILED = 0, 1, 2
"""A reader says once that it takes questions; then it answers, or says that it could not."""

_SHORT = 1 << 16


def send_answer(to: socket.socket, number: int, status: int, answer: bytes = b"") -> None:
    """Write an answer; called by one thread at a time."""
    head = ANSWER.pack(number, status, len(answer))
    if len(answer) <= _SHORT:
        to.sendall(head + answer)
    else:
        to.sendall(head)
        to.sendall(answer)


def receive(source: socket.socket, size: int) -> bytes | None:
    """Return exactly ``size`` bytes, None if the other end is gone before."""
    pieces = bytearray()
    while len(pieces) < size:
        piece = source.recv(size - len(pieces))
        if not piece:
            return None
        pieces += piece
    return bytes(pieces)
