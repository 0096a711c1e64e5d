"""The one metadata object of the tables, and the types that they share."""

from __future__ import annotations

from sqlalchemy import BigInteger, Integer, MetaData, String, Text

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# Names sort bytewise on every backend; row ids must be INTEGER for SQLite to use its own row id.
NAME = Text().with_variant(Text(collation="C"), "postgresql")
ROW = BigInteger().with_variant(Integer(), "sqlite")
DIGEST = String(64)
