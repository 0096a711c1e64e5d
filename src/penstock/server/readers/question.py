"""What a reader process can be asked: functions with a name, kept beside the doors that ask them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection

A = TypeVar("A")


def _never(_: Any) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Question(Generic[A]):
    """A function from a snapshot and an argument to the bytes of an answer.

    Parameters
    ----------
    name : str
        Unique among the questions of a reader process.
    kind : type
        Of the argument: what msgspec packs and unpacks without loss, such as a Struct.
    run : callable
        Changes nothing and keeps nothing: it may be asked twice, in two processes. What it raises, who asks gets. A
        long answer is yielded in pieces.
    is_large : callable
        Whether much is asked for. Such questions leave room for the others.
    """

    name: str
    kind: type[A]
    run: Callable[[Connection, A], bytes | Iterator[bytes]]
    is_large: Callable[[A], bool] = _never
