"""Rules of slots, evidence of verdicts, tags, notes, and digests of what a run left."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("runs", sa.Column("number", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("runs", sa.Column("note", sa.Text()))
    op.add_column("runs", sa.Column("manifest", sa.JSON()))
    op.add_column("runs", sa.Column("ledger", sa.String(64)))
    op.add_column("runs", sa.Column("removed", sa.JSON(), nullable=False, server_default="{}"))
    op.create_index("runs_number", "runs", ["number"])
    connection = op.get_bind()
    known = connection.execute(sa.text("SELECT id FROM runs ORDER BY started, id")).all()
    for number, row in enumerate(known, start=1):
        values = {"number": number, "id": row.id}
        connection.execute(sa.text("UPDATE runs SET number = :number WHERE id = :id"), values)
    op.create_table(
        "tags",
        sa.Column("run_id", sa.String(128), sa.ForeignKey("runs.id"), primary_key=True),
        sa.Column("tag", sa.String(64), primary_key=True),
    )
    op.add_column("verdicts", sa.Column("rule", sa.String(64)))
    op.add_column("verdicts", sa.Column("evidence", sa.JSON(), nullable=False, server_default="{}"))
    op.create_table(
        "rules",
        sa.Column("sha256", sa.String(64), primary_key=True),
        sa.Column("slot", sa.String(64), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("rule", sa.JSON(), nullable=False),
        sa.Column("who", sa.String(256), nullable=False),
        sa.Column("created", sa.String(40), nullable=False),
        sa.UniqueConstraint("slot", "version", name="rules_version"),
    )


def downgrade() -> None:
    op.drop_table("rules")
    op.drop_table("tags")
    op.drop_index("runs_number", "runs")
    for table, names in (
        ("runs", ("number", "note", "manifest", "ledger", "removed")),
        ("verdicts", ("rule", "evidence")),
    ):
        for name in names:
            op.drop_column(table, name)
