"""Bring the server what it lacks of the log, the events and the end, each byte once.

A slice starts where the server's copy ends, as far as we know, and counts only once the server answered. The server
applies a slice only if it starts where its copy really ends, and always answers where that is: a slice sent again after
a lost answer changes nothing, and tells us where to go on. A slice that it refuses is made smaller or left out.
"""

from __future__ import annotations

import time

from penstock.agent.door import Refused, ServerDoor
from penstock.agent.tail import LEAST_SLICE, EventTail, LogTail

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from penstock.agent.assignment import Assignment
    from penstock.agent.record import SpoolRecord

FIRST_RETRY_S = 0.1
LAST_RETRY_S = 1.0
TOO_LARGE = 413
LOOP = 508
UNUSABLE = frozenset({400, 422})
STUCK_ROUNDS = 10
MOST_REASONS = 100


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
    before_retry : callable
        Called before each new try while the server is away.
    on_lines : callable
        Called with the events that the server has taken.

    Parameters
    ----------
    note : callable
        Writes one line for the user into the log.
    """

    def __init__(self, assignment: Assignment, record: SpoolRecord, note: Callable[[str], None]) -> None:
        self.door = ServerDoor(assignment)
        self.state = "preparing"
        self.pid = 0
        self.is_cancel_wanted = False
        self.before_retry: Callable[[], None] = lambda: None
        self.on_lines: Callable[[list[str]], None] = lambda lines: None
        self._record = record
        self._note = note
        self._log = LogTail(record.log)
        self._events = EventTail(record.events, note)
        self._log_offset = 0
        self._events_offset = 0
        self._unusable_until = 0
        self._stuck_at = (0, 0)
        self._reports = 0
        self._has_advanced = False
        self._furthest = 0
        self._said: set[str] = set()

    def has_news(self) -> bool:
        """Return whether the files have more than the server, beyond half a character or half a line."""
        log, events = self._log.size(), self._events.size()
        return (log, events) != self._stuck_at and (log > self._log_offset or events > self._events_offset)

    def is_behind(self) -> bool:
        """Return whether the last report brought something and at least another full slice waits."""
        log, events = self._log.size() - self._log_offset, self._events.size() - self._events_offset
        return (log >= self._log.limit or events >= self._events.limit) and self._has_advanced

    def report(self, is_final: bool = False) -> None:
        """Send the state with the next slices.

        Raises
        ------
        OSError
            If the server is away.
        Refused
            If it does not want the report; the next one may be smaller.
        """
        slices = self._slices(is_final)
        self._has_advanced = False
        self._reports += 1
        report = {"report": self._reports, "state": self.state, "pid": self.pid, "agent": self._record.agent}
        try:
            answer = self.door.report({**report, **slices})
        except Refused as refusal:
            refusal.is_adapted = self._adapt(refusal, slices)
            raise
        self._learn(answer, slices)
        if "events" in slices:
            self.on_lines(slices["events"]["lines"])

    def finish(self, body: dict[str, Any], upload: Callable[[str], None], *, has_slices: bool = True) -> None:
        """Send the rest of log and events, then ``body``, until the server has all of it.

        Parameters
        ----------
        body : dict
            How the attempt ended and what it left.
        upload : callable
            Sends one blob that the server asks for, by digest.
        has_slices : bool
            False leaves out the rest of log and events.

        Raises
        ------
        Refused
            If the server does not accept the end as it is; with status 0, if a file cannot be sent, with 508,
            if nothing that is sent brings the end nearer.
        Abandoned
            If the spool folder is gone.
        """
        sent: set[str] = set()
        for _ in self._rounds():
            slices = self._last_slices() if has_slices else {}
            try:
                answer = self._patiently(self.door.finish, {**body, **slices})
            except Refused as refusal:
                if self._adapt(refusal, slices):
                    continue
                raise
            if answer.get("done", True):
                return
            self._learn(answer, slices)
            missing = {str(digest) for digest in answer.get("missing", ())}
            for digest in sorted(missing):
                self._patiently(upload, digest)
            if missing - sent:
                sent |= missing
                self._has_advanced = True
        raise Refused(LOOP, "it asks again and again for what it was sent")

    def _last_slices(self) -> dict[str, Any]:
        """Report until what is left fits into one request, and return it."""
        for _ in self._rounds():
            slices = self._slices(is_final=True)
            ends = (slices.get("log", {}).get("next"), slices.get("events", {}).get("next"))
            if not slices or (ends[0] in {None, self._log.size()} and ends[1] in {None, self._events.size()}):
                return slices
            try:
                self._patiently(self.report, True)
            except Refused as refusal:
                if not refusal.is_adapted:
                    raise
        raise Refused(LOOP, "it asks again and again for what it was sent")

    def _rounds(self) -> Iterator[None]:
        """Go on for as long as the server's copy grows or the slices change, and a few rounds more."""
        still = 0
        while still < STUCK_ROUNDS:
            self._has_advanced = False
            yield
            still = 0 if self._has_advanced else still + 1

    def _patiently(self, call: Callable[[Any], Any], argument: Any) -> Any:
        return patiently(call, argument, is_awaited=self._record.exists, before_retry=self.before_retry)

    def _adapt(self, refusal: Refused, slices: dict[str, Any]) -> bool:
        """Change the slices that the server refused; return False if nothing can be changed."""
        events = slices.get("events", {})
        if refusal.status == TOO_LARGE and slices and self._log.limit > LEAST_SLICE:
            self._log.limit //= 2
            self._events.limit //= 2
            self._events.max_line //= 2
        elif refusal.status in UNUSABLE and events.get("lines"):
            self._unusable_until = events["next"]
            self._note(f"the server refused {len(events['lines'])} logged lines; they are left out: {refusal.detail}")
        else:
            return False
        self._has_advanced = True
        return True

    def _slices(self, is_final: bool) -> dict[str, Any]:
        slices: dict[str, Any] = {}
        sizes = (self._log.size(), self._events.size())
        text, following = self._log.read(self._log_offset, is_final=is_final)
        if following > self._log_offset:
            slices["log"] = {"offset": self._log_offset, "text": text, "next": following}
        lines, following = self._events.read(self._events_offset, is_final=is_final)
        if following > self._events_offset:
            if self._events_offset < self._unusable_until:
                lines, following = [], min(following, self._unusable_until)
            slices["events"] = {"offset": self._events_offset, "next": following, "lines": lines}
        if not slices:
            self._stuck_at = sizes
        return slices

    def _learn(self, answer: dict[str, Any], slices: dict[str, Any]) -> None:
        before = self._log_offset, self._events_offset
        self._log_offset = max(0, int(answer.get("log_next", slices.get("log", {}).get("next", before[0]))))
        self._events_offset = max(0, int(answer.get("events_next", slices.get("events", {}).get("next", before[1]))))
        reached = self._log_offset + self._events_offset
        self._has_advanced |= reached > self._furthest
        self._furthest = max(self._furthest, reached)
        self.is_cancel_wanted = bool(answer.get("cancel"))
        for reason in map(str, answer.get("left_out") or ()):
            if reason not in self._said and len(self._said) < MOST_REASONS:
                self._said.add(reason)
                self._note(f"a logged line was left out: {reason}")


def patiently(
    call: Callable[[Any], Any],
    argument: Any,
    *,
    is_awaited: Callable[[], bool],
    before_retry: Callable[[], None] = lambda: None,
) -> Any:
    """Call until the server is there; each call by itself, so that rare luck is enough for every one.

    Raises
    ------
    Abandoned
        If nobody waits for the attempt any more.
    """
    delay_s = FIRST_RETRY_S
    while True:
        try:
            return call(argument)
        except OSError:
            if not is_awaited():
                raise Abandoned("its folder is gone") from None
            time.sleep(delay_s)
            delay_s = min(2 * delay_s, LAST_RETRY_S)
            before_retry()
