"""``ws.audit``: who did what to which thing, when; and whether anybody changed that record."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from penstock.entities.errors import UnavailableError, UsageError
from penstock.rules.durations import time_of
from penstock.sdk.events import read_events
from penstock.sdk.response import check_folder
from penstock.sdk.rest import Json, Rest

GIVE_UP_AFTER_S = 60.0
RETRY_DELAYS_S = (0.1, 0.2, 0.5, 1.0, 2.0)
MAX_FINDINGS = 1000


@dataclass(frozen=True, slots=True)
class Verification:
    """What a walk over the whole log found.

    Parameters
    ----------
    checked : int
        How many entries there are.
    seq, hash
        The log's head. Noted somewhere else, ``SEQ:HASH`` shows later that nothing up to there was rewritten.
    findings : tuple of dict
        ``damage`` (changed, missing, inserted, rewritten), ``first``, ``last``, ``message``; in the log's order.
    """

    checked: int
    seq: int
    hash: str
    findings: tuple[Json, ...] = ()

    @property
    def is_intact(self) -> bool:
        """Return whether nothing was found."""
        return not self.findings

    @property
    def head(self) -> str:
        """Return the head as :meth:`AuditClient.verify` takes it."""
        return f"{self.seq}:{self.hash}"


class AuditClient:
    """Read, follow, verify and export the audit log; the latter two are for admins."""

    def __init__(self, rest: Rest) -> None:
        self._rest = rest

    def list(
        self,
        *,
        actor: str | None = None,
        verb: str | None = None,
        ref: str | None = None,
        since: str | datetime | None = None,
        until: str | datetime | None = None,
        limit: int | None = None,
    ) -> Iterator[Json]:
        """Yield entries, newest first.

        Parameters
        ----------
        ref : str
            Such as ``job:cosy_ant_1``; ``job:*`` means every job.
        since, until : str or datetime
            RFC 3339, or how long ago, such as ``24h``.
        """
        query = event_query(actor=actor, verb=verb, ref=ref, since=since, until=until)
        return self._rest.list_events(query, limit=limit, is_newest_first=True)

    def follow(
        self, *, actor: str | None = None, verb: str | None = None, ref: str | None = None, after: int | None = None
    ) -> Iterator[Json]:
        """Yield entries as they are written, across restarts of the server; ends never by itself.

        Parameters
        ----------
        after : int, optional
            The number of the last entry that is known; by default what was written before is not shown.

        Raises
        ------
        UnavailableError
            If the server cannot be reached for a minute.
        """
        query = event_query(actor=actor, verb=verb, ref=ref)
        if after is None:
            after = int(self._rest.get_head()["seq"])
        last_seen, attempt = time.monotonic(), 0
        while True:
            lost: UnavailableError | None = None
            try:
                with self._rest.stream_events(query, after=after) as response:
                    last_seen, attempt = time.monotonic(), 0
                    for _, data in read_events(response):
                        after = int(data["seq"])
                        yield data
            except UnavailableError as error:
                lost = error
            if time.monotonic() - last_seen > GIVE_UP_AFTER_S:
                raise lost or UnavailableError("the server stopped to send events")
            time.sleep(RETRY_DELAYS_S[min(attempt, len(RETRY_DELAYS_S) - 1)])
            attempt += 1

    def verify(
        self, *, expect: str | None = None, on_progress: Callable[[int, int], object] | None = None
    ) -> Verification:
        """Walk over the whole log, page by page.

        Parameters
        ----------
        expect : str, optional
            A head that was noted earlier, ``SEQ:HASH``: finds also a log that was rewritten from some entry on, or
            cut off and its counter with it.
        on_progress : callable, optional
            Called with the entries checked so far and their number.
        """
        if expect is not None:
            _check_head(expect)
        checked, after = 0, None
        findings: list[Json] = []
        while True:
            page = self._rest.verify_events(after=after, expect=expect)
            checked += page["checked"]
            findings += page["findings"]
            if on_progress is not None:
                on_progress(checked, max(checked, page["total"]))
            after = page.get("next")
            if after is None or len(findings) >= MAX_FINDINGS:
                return Verification(checked, page["seq"], page["hash"], tuple(findings[:MAX_FINDINGS]))

    def export(self, file: str | os.PathLike[str], *, after: int | None = None, query: Json | None = None) -> None:
        """Write the log to a file, one JSON object a line; there is no half file.

        Parameters
        ----------
        after : int, optional
            The number of the last entry that is not wanted.
        query : dict, optional
            What :func:`event_query` returns.
        """
        target = Path(file)
        check_folder(target)
        partial = target.with_name(target.name + ".part")
        try:
            with partial.open("wb") as out:
                for piece in self.pieces(after=after, query=query):
                    out.write(piece)
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)

    def pieces(self, *, after: int | None = None, query: Json | None = None) -> Iterator[bytes]:
        """Yield an export as it arrives, in pieces that end anywhere."""
        with self._rest.export_events({**(query or {}), "after": after}) as response:
            yield from response.iter_bytes()


def event_query(
    *,
    actor: str | None = None,
    verb: str | None = None,
    ref: str | None = None,
    since: str | datetime | None = None,
    until: str | datetime | None = None,
) -> Json:
    """Return the parameters by which the server chooses entries."""
    return {
        "actor": actor,
        "verb": verb,
        "ref": ref,
        "since": _time(since, "since"),
        "until": _time(until, "until"),
    }


def _time(when: str | datetime | None, name: str) -> str | None:
    if isinstance(when, str):
        when = time_of(when, name, now=datetime.now(UTC), is_past=True)
    return None if when is None else when.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _check_head(text: str) -> None:
    seq, _, digest = text.partition(":")
    if not (seq.isascii() and seq.isdigit() and len(digest) == 64 and set(digest) <= set("0123456789abcdef")):
        raise UsageError(
            f'"{text[:80]}" is no head of an audit log', hint="It is SEQ:HASH, as `penstock audit verify` prints it."
        )
