"""Bring the server the calls that a relay spooled, in order; it drops those it has by their numbers."""

from __future__ import annotations

import os

from penstock.agent.collection import open_regular
from penstock.agent.door import GONE, OVER, Refused, ServerDoor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from penstock.agent.relay.spool import CallSpool, Stored

TOO_LARGE = 413
MAX_NOTES = 20
ENDED = 1 << 62
"""The number that the server answers for an attempt that has ended: nothing is applied any more."""


class Drain:
    """Delivers one spool; for one thread at a time.

    Parameters
    ----------
    spool : CallSpool
        What waits.
    door : ServerDoor
        Where it goes.
    note : callable
        Writes one line for the user into the job's log.
    """

    def __init__(self, spool: CallSpool, door: ServerDoor, note: Callable[[str], None]) -> None:
        self._spool = spool
        self._door = door
        self._note = note
        self._notes = 0

    def run(self, on_progress: Callable[[], None] = lambda: None) -> None:
        """Deliver until nothing waits.

        Raises
        ------
        OSError
            If the server is away.
        Refused
            If nobody waits for the attempt any more.
        """
        while calls := self._spool.read():
            self._deliver(calls)
            on_progress()

    def give_up(self, refusal: Refused) -> None:
        """Say in the job's log what is left of what was acknowledged."""
        try:
            left = str(self._spool.count())
        except OSError as error:
            left = f"Some (their file cannot be read: {error.strerror})"
        self._note(
            f"{left} MLflow calls, acknowledged while the server was away, could not be delivered: "
            f"{refusal.detail[:500]}"
        )

    def _deliver(self, calls: list[Stored]) -> None:
        try:
            self._send([stored.entry for stored in calls])
        except Refused as refusal:
            if refusal.status in OVER:
                raise
            if len(calls) > 1:
                half = len(calls) // 2
                self._deliver(calls[:half])
                self._deliver(calls[half:])
                return
            self._complain(calls[0].entry, refusal.detail)
        for stored in calls:
            if "file" in stored.entry:
                self._spool.remove_file(stored.entry["file"])
        self._spool.advance(calls[-1].end, calls[-1].entry["seq"])

    def _send(self, entries: list[dict[str, Any]]) -> None:
        answer = self._door.relay({"calls": [{k: v for k, v in e.items() if k != "file"} for e in entries]})
        missing = set(answer.get("missing") or ())
        if answer.get("relay_seq") == ENDED:
            raise Refused(GONE, "the attempt has ended")
        if missing:
            for entry in entries:
                if entry.get("digest") in missing:
                    missing.discard(entry["digest"])
                    self._put(entry)
            answer = self._door.relay({"calls": [{k: v for k, v in e.items() if k != "file"} for e in entries]})
            if answer.get("missing"):
                raise ConnectionError("the server asks again for a file that it was sent")
        if not isinstance(answer.get("relay_seq"), int) or answer["relay_seq"] < entries[-1]["seq"]:
            raise ConnectionError("the answer does not say that the calls arrived")
        by_number = {entry["seq"]: entry for entry in entries}
        for refused in answer.get("refused") or ():
            self._complain(by_number.get(refused.get("seq"), {}), str(refused.get("error")))

    def _put(self, entry: dict[str, Any]) -> None:
        try:
            descriptor = open_regular(self._spool.file_path(entry["file"]))
        except OSError as error:
            raise Refused(0, f"the spooled file cannot be read: {error.strerror}") from error
        with open(descriptor, "rb", buffering=0) as file:
            if os.fstat(descriptor).st_size != entry["size"]:
                raise Refused(0, "the spooled file is not whole")
            self._door.put_blob(entry["digest"], file, entry["size"])

    def _complain(self, entry: dict[str, Any], why: str) -> None:
        self._notes += 1
        if self._notes <= MAX_NOTES:
            what = str(entry.get("path", "a call")).rpartition("/mlflow/")[2]
            self._note(f"MLflow's {what[:200]}, acknowledged while the server was away, was refused: {why[:500]}")
