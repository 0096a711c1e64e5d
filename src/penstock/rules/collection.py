"""What a permanent deletion takes: deleted records that are old enough, and content that nothing names any more.

Pure: the records and the time are handed in. Only what was deleted before goes, and only as a whole: an experiment
waits for the last of its runs, a run for the end of its job.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

DEFAULT_EXPERIMENT_ROW = 0
"""The experiment that is always there; it keeps its row whatever happened to it."""

_DIGEST = re.compile(r"(?<![0-9a-zA-Z])[0-9a-f]{64}(?![0-9a-zA-Z])")


class Kind(StrEnum):
    """What can be removed for good."""

    RUN = "run"
    LOGGED_MODEL = "logged-model"
    VERSION = "version"
    EXPERIMENT = "experiment"


@dataclass(frozen=True, slots=True)
class Deleted:
    """One deleted record.

    Parameters
    ----------
    row : int
        Its row.
    name : str
        What people call it: a run's id, an experiment's name, ``model:digits:3``.
    deleted_at : int
        When it was deleted, ms UTC.
    title : str
        The name for people of a run, which ``name`` is not.
    experiment : int, optional
        The row of the experiment a run or a logged model belongs to.
    is_busy : bool
        Whether its job, or one that names it, has not ended, or a registered version still reads its files.
    follows : bool
        Whether it goes with its experiment only, not being deleted itself.
    lives : int
        How many of an experiment's runs are not deleted.
    used_until : int
        When a version was deleted, ms UTC, that reads its files and may be restored; 0 for none.
    """

    kind: Kind
    row: int
    name: str
    deleted_at: int
    experiment: int | None = None
    is_busy: bool = False
    follows: bool = False
    lives: int = 0
    title: str = ""
    used_until: int = 0

    @property
    def ref(self) -> str:
        """Return what the audit log calls it: a version's name names its kind already, experiments go by their id."""
        if self.kind is Kind.VERSION:
            return self.name
        return f"{self.kind}:{self.row if self.kind is Kind.EXPERIMENT else self.name}"


@dataclass(frozen=True, slots=True)
class Kept:
    """A deleted record that stays for now, and why."""

    record: Deleted
    reason: str


@dataclass(frozen=True, slots=True)
class Removal:
    """What goes, in an order in which it can go, and what stays."""

    going: tuple[Deleted, ...] = ()
    kept: tuple[Kept, ...] = ()


def decide(records: Sequence[Deleted], *, now: int, older_than_ms: int) -> Removal:
    """Return which deleted records go for good.

    Parameters
    ----------
    records : sequence of Deleted
        Every deleted record in question; with an experiment also all of its deleted runs and logged models.
    now : int
        The time, ms UTC.
    older_than_ms : int
        What was deleted later than so long ago stays; 0 takes all.
    """
    going: list[Deleted] = []
    kept: list[Kept] = []
    waiting: set[int | None] = set()
    for record in records:
        if record.kind is Kind.EXPERIMENT:
            continue
        reason = _reason(record, now - older_than_ms)
        if reason:
            kept.append(Kept(record, reason))
            waiting.add(record.experiment)
        else:
            going.append(record)
    for record in records:
        if record.kind is not Kind.EXPERIMENT:
            continue
        reason = _reason(record, now - older_than_ms)
        if not reason and record.row in waiting:
            reason = "some of what is in it stays"
        if reason:
            kept.append(Kept(record, reason))
        else:
            going.append(record)
    gone = {record.row for record in going if record.kind is Kind.EXPERIMENT}

    def is_left(record: Deleted) -> bool:
        return record.follows and record.kind is not Kind.EXPERIMENT and record.experiment not in gone

    kept += [Kept(record, "its experiment stays") for record in going if is_left(record)]
    going = [record for record in going if not is_left(record)]
    return Removal(tuple(sorted(going, key=lambda record: list(Kind).index(record.kind))), tuple(kept))


def _reason(record: Deleted, before: int) -> str:
    if record.deleted_at > before:
        return "deleted lately"
    if record.is_busy or record.used_until > before:
        return "a job that has not ended, or a version without files of its own, needs it"
    if record.kind is Kind.EXPERIMENT:
        if record.row == DEFAULT_EXPERIMENT_ROW:
            return "the default experiment stays"
        if record.lives:
            return "1 run in it is not deleted" if record.lives == 1 else f"{record.lives} runs in it are not deleted"
    return ""


def find_digests(text: str) -> Iterator[str]:
    """Yield everything in a document that could name content: it stays, whatever it was meant to be."""
    return (match.group() for match in _DIGEST.finditer(text))
