"""How server and reader process talk over their socket: a head of fixed size, then bytes.

A question is its number, then a packed ``[name, argument]``. An answer is the number of its question and what became of
it, then the answer itself as it goes to the client. A long answer is a file without a name, whose descriptor has come
over a second socket before. The server may take a question back, and asks now and then whether there is anybody.
"""

from __future__ import annotations

import socket
import struct

ASK, DROP, PING = 0, 1, 2
QUESTION = struct.Struct("!BQQ")
"""Kind, number, length."""
READY, ANSWERED, FILED, FAILED, NO_SPACE, ALIVE = range(6)
"""A reader says once that it takes questions; then it answers, or says that it could not."""
ANSWER = struct.Struct("!QBQ")
"""Number, status, length."""


def send_answer(to: socket.socket, number: int, status: int, answer: bytes = b"") -> None:
    """Write an answer; called by one thread at a time."""
    to.sendall(ANSWER.pack(number, status, len(answer)) + answer)


def receive(source: socket.socket, size: int) -> bytes | None:
    """Return exactly ``size`` bytes, None if the other end is gone before."""
    pieces = bytearray()
    while len(pieces) < size:
        piece = source.recv(size - len(pieces))
        if not piece:
            return None
        pieces += piece
    return bytes(pieces)
