"""Moves by hand: what the order asked for stands in its own column beside the tier the list goes by."""

import sqlalchemy as sa
from alembic import op

__all__ = ["branch_labels", "depends_on", "down_revision", "downgrade", "revision", "upgrade"]

revision = "0002"
down_revision: str | None = "0001"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    """Add the columns, the table of moves, and indexes for what is counted by time."""
    # The defaults are for the rows there are: the site always gives a value.
    op.add_column("studies", sa.Column("ordered_tier", sa.Integer(), nullable=False, server_default="2"))
    op.add_column("studies", sa.Column("moved_by", sa.String(length=200), nullable=False, server_default=""))
    op.add_column("studies", sa.Column("moved_reason", sa.String(length=200), nullable=False, server_default=""))
    op.execute("UPDATE studies SET ordered_tier = tier")
    op.create_table(
        "moves",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("study", sa.String(length=200), nullable=False),
        sa.Column("time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reader", sa.String(length=200), nullable=False),
        sa.Column("role", sa.String(length=200), nullable=False),
        sa.Column("tier", sa.Integer(), nullable=False),
        sa.Column("reason", sa.String(length=200), nullable=False),
        sa.ForeignKeyConstraint(["study"], ["studies.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_moves_study", "moves", ["study", "id"])
    op.create_index("ix_predictions_time", "predictions", ["time", "version"])
    op.create_index("ix_label_events_time", "label_events", ["time"])


def downgrade() -> None:
    """Back to the order's tier; what people moved is lost."""
    op.execute("UPDATE studies SET tier = ordered_tier")
    op.drop_index("ix_label_events_time", "label_events")
    op.drop_index("ix_predictions_time", "predictions")
    op.drop_table("moves")
    for name in ("moved_reason", "moved_by", "ordered_tier"):
        op.drop_column("studies", name)
