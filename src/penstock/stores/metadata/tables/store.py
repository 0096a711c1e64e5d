"""What the store keeps about itself: its revision and its counters; and how a new database is made."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Connection, PrimaryKeyConstraint, String, Table, insert

from penstock.stores.metadata.tables.base import NAME, metadata
from penstock.stores.metadata.tables.experiment import experiments

HEAD = "0002"
"""The revision that these tables are; migrations are numbered with four digits and only appended."""

# Named as Alembic names it, so that it finds its own table.
schema_version = Table(
    "schema_version",
    metadata,
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="schema_version_pkc"),
)

counters = Table(
    "counters",
    metadata,
    Column("name", NAME, primary_key=True),
    Column("value", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)


def create_all(connection: Connection, *, now: int) -> None:
    """Make the schema of a new database, its revision and the experiment ``Default``.

    Parameters
    ----------
    connection : Connection
        An open transaction on an empty database.
    now : int
        The time of creation, ms UTC.
    """
    metadata.create_all(connection)
    connection.execute(insert(schema_version).values(version_num=HEAD))
    insert_first_rows(connection, now=now)


def insert_first_rows(connection: Connection, *, now: int) -> None:
    """Insert what every database holds from its first day: the experiment ``0``, ``Default``."""
    connection.execute(
        insert(experiments).values(
            id=0,
            name="Default",
            artifact_location="mlflow-artifacts:/0",
            lifecycle_stage="active",
            created_at=now,
            updated_at=now,
        )
    )
