"""The tables of the run store. A change here needs a step in `migrations/versions`.

Times are ISO 8601 text in UTC, hashes 64 hexadecimal digits, paths as `home.portable` writes them.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

SCHEMA = "0002"
"""The newest revision in `migrations/versions`."""

metadata = MetaData()

runs = Table(
    "runs",
    metadata,
    Column("id", String(128), primary_key=True),
    Column("verb", String(64), nullable=False),
    Column("name", String(128)),
    Column("status", String(16), nullable=False),
    Column("started", String(40), nullable=False),
    Column("ended", String(40)),
    Column("config", JSON, nullable=False),
    Column("config_hash", String(64), nullable=False),
    Column("inputs", JSON, nullable=False),
    Column("folder", Text, nullable=False),
    Column("metrics", JSON, nullable=False),
    Column("error", Text),
    # Order of beginning; clocks may go backwards.
    Column("number", Integer, nullable=False, server_default="0"),
    Column("note", Text),
    # Of a complete run: manifest field -> digest, hash of its ledger rows, and what was removed
    # on purpose since (path -> when).
    Column("manifest", JSON),
    Column("ledger", String(64)),
    Column("removed", JSON, nullable=False, server_default="{}"),
    Index("runs_number", "number"),
)

tags = Table(
    "tags",
    metadata,
    Column("run_id", String(128), ForeignKey("runs.id"), primary_key=True),
    Column("tag", String(64), primary_key=True),
)

episodes = Table(
    "episodes",
    metadata,
    Column("collection", String(256), primary_key=True),
    Column("key", String(256), primary_key=True),
    Column("shard", Text, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("success", Boolean),
    Column("steps", Integer, nullable=False),
    Column("task", String(256), nullable=False),
    Column("seed", BigInteger),
    Column("index", BigInteger, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("details", JSON, nullable=False),
)

conflicts = Table(
    "conflicts",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("collection", String(256), nullable=False),
    Column("key", String(256), nullable=False),
    Column("shard", Text, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("created", String(40), nullable=False),
)

checkpoints = Table(
    "checkpoints",
    metadata,
    Column("sha256", String(64), primary_key=True),
    Column("run_id", String(128), ForeignKey("runs.id")),
    Column("step", BigInteger),
    Column("path", Text, nullable=False),
    Column("created", String(40), nullable=False),
)

verdicts = Table(
    "verdicts",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("candidate", String(64), nullable=False),
    Column("baseline", String(64), nullable=False),  # "": judged against a floor
    Column("outcome", String(16), nullable=False),
    Column("numbers", JSON, nullable=False),
    Column("plan", JSON, nullable=False),
    Column("created", String(40), nullable=False),
    Column("rule", String(64)),
    Column("evidence", JSON, nullable=False, server_default="{}"),
    Index("verdicts_pair", "candidate", "baseline"),
)

rules = Table(
    "rules",
    metadata,
    Column("sha256", String(64), primary_key=True),
    Column("slot", String(64), nullable=False),
    Column("version", Integer, nullable=False),
    Column("rule", JSON, nullable=False),
    Column("who", String(256), nullable=False),
    Column("created", String(40), nullable=False),
    UniqueConstraint("slot", "version", name="rules_version"),
)

promotions = Table(
    "promotions",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("slot", String(64), nullable=False),
    Column("version", Integer, nullable=False),
    Column("checkpoint", String(64), ForeignKey("checkpoints.sha256"), nullable=False),
    Column("previous", String(64), ForeignKey("checkpoints.sha256")),
    Column("baseline", String(64)),
    Column("verdict_id", Integer, ForeignKey("verdicts.id")),
    Column("kind", String(16), nullable=False),
    Column("who", String(256), nullable=False),
    Column("created", String(40), nullable=False),
    UniqueConstraint("slot", "version", name="promotions_version"),
)
