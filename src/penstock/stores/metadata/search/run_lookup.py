"""Find one run by what people type."""

from __future__ import annotations

from sqlalchemy import Connection, and_, select

from penstock.entities.errors import NotFoundError, UsageError
from penstock.stores.metadata.tables import runs

SHORTEST_PREFIX = 6


def resolve_run(connection: Connection, reference: str, *, experiment: str | None = None) -> str:
    """Return the id of the run that an id, or a unique prefix of six or more characters, means; deleted or not.

    Parameters
    ----------
    experiment : str, optional
        The id of the only one whose runs count.

    Raises
    ------
    NotFoundError
        If there is none.
    UsageError
        If the prefix is not unique.
    """
    found = _starting_with(connection, reference, experiment)
    if reference in found:
        return reference
    if not found or len(reference) < SHORTEST_PREFIX:
        raise NotFoundError(f'no run "{reference[:300]}"', hint=lookup_hint(reference), ref=f"run:{reference[:300]}")
    if len(found) > 1:
        raise UsageError(f'"{reference}" fits several runs', hint="Such as " + ", ".join(found))
    return found[0]


def _starting_with(connection: Connection, prefix: str, experiment: str | None) -> list[str]:
    if not prefix or not prefix.isascii():  # ids are ASCII
        return []
    beyond = prefix[:-1] + chr(ord(prefix[-1]) + 1)
    wanted = and_(runs.c.run_id >= prefix, runs.c.run_id < beyond)
    if experiment is not None:
        wanted = and_(wanted, runs.c.experiment == int(experiment))
    return list(connection.execute(select(runs.c.run_id).where(wanted).order_by(runs.c.run_id).limit(3)).scalars())


def lookup_hint(reference: str, noun: str = "run") -> str:
    """Return what helps somebody whose id names nothing; says nothing of what there is."""
    short = f"An id may be cut to {SHORTEST_PREFIX} characters, not fewer. " if len(reference) < SHORTEST_PREFIX else ""
    return f"{short}List them with: penstock {noun} list"
