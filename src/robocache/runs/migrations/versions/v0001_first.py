"""Runs, ledger, checkpoints, verdicts and promotions."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "runs",
        sa.Column("id", sa.String(128), primary_key=True),
        sa.Column("verb", sa.String(64), nullable=False),
        sa.Column("name", sa.String(128)),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("started", sa.String(40), nullable=False),
        sa.Column("ended", sa.String(40)),
        sa.Column("config", sa.JSON(), nullable=False),
        sa.Column("config_hash", sa.String(64), nullable=False),
        sa.Column("inputs", sa.JSON(), nullable=False),
        sa.Column("folder", sa.Text(), nullable=False),
        sa.Column("metrics", sa.JSON(), nullable=False),
        sa.Column("error", sa.Text()),
    )
    op.create_table(
        "episodes",
        sa.Column("collection", sa.String(256), primary_key=True),
        sa.Column("key", sa.String(256), primary_key=True),
        sa.Column("shard", sa.Text(), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("success", sa.Boolean()),
        sa.Column("steps", sa.Integer(), nullable=False),
        sa.Column("task", sa.String(256), nullable=False),
        sa.Column("seed", sa.BigInteger()),
        sa.Column("index", sa.BigInteger(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("details", sa.JSON(), nullable=False),
    )
    op.create_table(
        "conflicts",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("collection", sa.String(256), nullable=False),
        sa.Column("key", sa.String(256), nullable=False),
        sa.Column("shard", sa.Text(), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("created", sa.String(40), nullable=False),
    )
    op.create_table(
        "checkpoints",
        sa.Column("sha256", sa.String(64), primary_key=True),
        sa.Column("run_id", sa.String(128), sa.ForeignKey("runs.id")),
        sa.Column("step", sa.BigInteger()),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("created", sa.String(40), nullable=False),
    )
    op.create_table(
        "verdicts",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("candidate", sa.String(64), nullable=False),
        sa.Column("baseline", sa.String(64), nullable=False),
        sa.Column("outcome", sa.String(16), nullable=False),
        sa.Column("numbers", sa.JSON(), nullable=False),
        sa.Column("plan", sa.JSON(), nullable=False),
        sa.Column("created", sa.String(40), nullable=False),
    )
    op.create_index("verdicts_pair", "verdicts", ["candidate", "baseline"])
    op.create_table(
        "promotions",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("slot", sa.String(64), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("checkpoint", sa.String(64), sa.ForeignKey("checkpoints.sha256"), nullable=False),
        sa.Column("previous", sa.String(64), sa.ForeignKey("checkpoints.sha256")),
        sa.Column("baseline", sa.String(64)),
        sa.Column("verdict_id", sa.Integer(), sa.ForeignKey("verdicts.id")),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("who", sa.String(256), nullable=False),
        sa.Column("created", sa.String(40), nullable=False),
        sa.UniqueConstraint("slot", "version", name="promotions_version"),
    )


def downgrade() -> None:
    for table in ("promotions", "verdicts", "checkpoints", "conflicts", "episodes", "runs"):
        op.drop_table(table)
