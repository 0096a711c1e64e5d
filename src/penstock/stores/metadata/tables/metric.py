"""The tables of metrics.

* Metric keys are interned, and a run is its integer row. A point then takes about 25 bytes an index instead of 150.
* ``points`` is clustered by (run, seq), the order in which a run's points were logged, which live streams
  follow; its one further index is both the rule that exact duplicates are stored once and a covering index
  for the history in (timestamp, step, value) order.
* ``latest`` has one row for each (run, key): what comparing and ordering runs by a metric joins. It repeats the
  run's experiment and start, which never change, so that one index answers "the runs of this experiment in the
  order of this metric, equal ones newest first".
* NaN is the value 0 with ``is_nan``, because SQLite stores no NaN and because NaN competes as 0.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Double, ForeignKey, Index, Integer, PrimaryKeyConstraint, Table

from penstock.stores.metadata.tables.base import NAME, ROW, metadata

metric_keys = Table(
    "metric_keys",
    metadata,
    Column("id", ROW, primary_key=True),
    Column("key", NAME, nullable=False, unique=True),
)

points = Table(
    "points",
    metadata,
    Column("run", ROW, ForeignKey("runs.id"), nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("key", ROW, ForeignKey("metric_keys.id"), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("step", BigInteger, nullable=False),
    Column("timestamp", BigInteger, nullable=False),
    Column("value", Double, nullable=False),
    Column("is_nan", Boolean, nullable=False),
    PrimaryKeyConstraint("run", "seq"),
    sqlite_with_rowid=False,
)
Index(
    "ix_points_history",
    points.c.run,
    points.c.key,
    points.c.timestamp,
    points.c.step,
    points.c.value,
    points.c.is_nan,
    points.c.attempt,
    unique=True,
)

latest = Table(
    "latest",
    metadata,
    Column("run", ROW, ForeignKey("runs.id"), nullable=False),
    Column("key", ROW, ForeignKey("metric_keys.id"), nullable=False),
    Column("step", BigInteger, nullable=False),
    Column("timestamp", BigInteger, nullable=False),
    Column("value", Double, nullable=False),
    Column("is_nan", Boolean, nullable=False),
    Column("experiment", ROW, nullable=False),
    Column("start_time", BigInteger, nullable=False),
    PrimaryKeyConstraint("run", "key"),
    sqlite_with_rowid=False,
)
Index(
    "ix_latest_order",
    latest.c.experiment,
    latest.c.key,
    latest.c.is_nan,
    latest.c.value,
    latest.c.start_time,
    latest.c.run,
)
