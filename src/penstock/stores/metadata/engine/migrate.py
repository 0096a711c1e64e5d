"""Bring an older database to the schema of this program; the only module that loads Alembic.

Migrations are appended, never changed: ``migrations/versions/<four digits>_<name>.py``. All that are missing
run in the one transaction that is open, so a crash leaves the old database.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from penstock.stores.metadata import tables

FOLDER = Path(__file__).parent / "migrations"


def upgrade(connection: Connection, *, now: int) -> None:
    """Run the missing migrations in the open transaction.

    Parameters
    ----------
    connection : Connection
        In a transaction that holds the write lock.
    now : int
        The time of rows that a migration makes, ms UTC.
    """
    scripts = ScriptDirectory(str(FOLDER))

    def steps(revision: Any, context: Any) -> Any:
        return scripts._upgrade_revs(tables.HEAD, revision)  # what alembic.command.upgrade itself calls

    with EnvironmentContext(Config(), scripts, fn=steps, destination_rev=tables.HEAD) as environment:
        environment.configure(
            connection=connection,
            target_metadata=tables.metadata,
            version_table=tables.schema_version.name,
            transactional_ddl=True,
            now=now,
        )
        environment.run_migrations()
