"""Attach pg_enroll to the academy's tables.

As migration_up.sql. The policy is the JSON file two folders up; a later policy would be a later
revision with a file of its own.
"""

from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

POLICY = Path(__file__).resolve().parents[2] / "policy.json"

# All that the application needs. psycopg2 sends literals, which reach the bigint functions where
# they are numbers and the text functions where they are strings.
FUNCTIONS = ", ".join(
    f"{prefix}{name}({key}, {key}, {rest})"
    for name, rest in (("enroll", "text, numeric, text"), ("unenroll", "text, text"))
    for prefix in ("", "try_")
    for key in ("bigint", "text")
) + "".join(
    f", {name}({key}, {key}, text)"
    for name in ("can_enroll", "quote_unenroll")
    for key in ("bigint", "text")
)


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL timezone = 'UTC'")
    op.execute("CREATE EXTENSION IF NOT EXISTS pg_enroll")
    policy = POLICY.read_text(encoding="utf-8")
    op.execute(sa.text("SELECT enroll_attach(CAST(:policy AS jsonb))").bindparams(policy=policy))
    op.execute(f"GRANT EXECUTE ON FUNCTION {FUNCTIONS} TO academy_app")


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SELECT enroll_detach()")
    op.execute("DROP EXTENSION pg_enroll")
