"""Bring the server what it lacks of the log, the events and the end, each byte once.

A slice starts where the server's copy ends, as far as we know, and counts only once the server answered. The server
applies a slice only if it starts where its copy really ends, and always answers where that is: a slice sent again after
a lost answer changes nothing, and tells us where to go on.
"""

from __future__ import annotations

import time

from penstock.agent.door import ServerDoor
from penstock.agent.tail import EventTail, LogTail

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from penstock.agent.assignment import Assignment
    from penstock.agent.record import SpoolRecord

FIRST_RETRY_S = 0.1
LAST_RETRY_S = 1.0


class Abandoned(Exception):
    """The spool folder is gone, so nobody waits for this attempt any more."""


class Delivery:
    """What the server has of one attempt, and the way to bring it the rest; for one thread at a time.

    Attributes
    ----------
    state : str
        ``preparing``, ``running`` or ``finalizing``, as the next report says.
    pid : int
        The command's process, 0 before it runs.
    is_cancel_wanted : bool
        What the server answered last.
    """

    def __init__(self, assignment: Assignment, record: SpoolRecord) -> None:
        self.door = ServerDoor(assignment)
        self.state = "preparing"
        self.pid = 0
        self.is_cancel_wanted = False
        self._record = record
        self._log = LogTail(record.log)
        self._events = EventTail(record.events)
        self._log_offset = 0
        self._events_offset = 0
        self._stuck_at = (0, 0)
        self._reports = 0

    def has_news(self) -> bool:
        """Return whether the files have more than the server, beyond half a character or half a line."""
        log, events = self._log.size(), self._events.size()
        return (log, events) != self._stuck_at and (log > self._log_offset or events > self._events_offset)

    def report(self, is_final: bool = False) -> None:
        """Send the state with the next slices.

        Raises
        ------
        OSError
            If the server is away.
        Refused
            If it does not want the report.
        """
        slices = self._slices(is_final)
        self._reports += 1
        report = {"report": self._reports, "state": self.state, "pid": self.pid, "agent": self._record.agent}
        self._learn(self.door.report({**report, **slices}), slices)

    def finish(self, body: dict[str, Any], upload: Callable[[str], None]) -> None:
        """Send the rest of log and events, then ``body``, until the server has all of it.

        Parameters
        ----------
        body : dict
            How the attempt ended and what it left.
        upload : callable
            Sends one blob that the server asks for, by digest.

        Raises
        ------
        Refused
            If the server does not accept the end as it is.
        Abandoned
            If the spool folder is gone.
        """
        while True:
            slices = self._last_slices()
            answer = self._patiently(self.door.finish, {**body, **slices})
            if answer.get("done", True):
                return
            self._learn(answer, slices)
            for digest in answer.get("missing", ()):
                self._patiently(upload, str(digest))

    def _last_slices(self) -> dict[str, Any]:
        """Report until what is left fits into one request, and return it."""
        while True:
            slices = self._slices(is_final=True)
            ends = (slices.get("log", {}).get("next"), slices.get("events", {}).get("next"))
            if ends[0] in {None, self._log.size()} and ends[1] in {None, self._events.size()}:
                return slices
            self._patiently(self.report, True)

    def _patiently(self, call: Callable[[Any], Any], argument: Any) -> Any:
        """Call until the server is there; each call by itself, so that rare luck is enough for every one."""
        delay_s = FIRST_RETRY_S
        while True:
            try:
                return call(argument)
            except OSError:
                if not self._record.exists():
                    raise Abandoned("its spool folder is gone") from None
                time.sleep(delay_s)
                delay_s = min(2 * delay_s, LAST_RETRY_S)

    def _slices(self, is_final: bool) -> dict[str, Any]:
        slices: dict[str, Any] = {}
        sizes = (self._log.size(), self._events.size())
        text, following = self._log.read(self._log_offset, is_final=is_final)
        if following > self._log_offset:
            slices["log"] = {"offset": self._log_offset, "text": text, "next": following}
        lines, following = self._events.read(self._events_offset, is_final=is_final)
        if following > self._events_offset:
            slices["events"] = {"offset": self._events_offset, "next": following, "lines": lines}
        if not slices:
            self._stuck_at = sizes
        return slices

    def _learn(self, answer: dict[str, Any], slices: dict[str, Any]) -> None:
        self._log_offset = int(answer.get("log_next", slices.get("log", {}).get("next", self._log_offset)))
        self._events_offset = int(answer.get("events_next", slices.get("events", {}).get("next", self._events_offset)))
        self.is_cancel_wanted = bool(answer.get("cancel"))
