"""Build the two large guards while the application runs.

As migration_prepare.sql: neither statement keeps a writer waiting for more than a moment, and
enroll_attach adopts both.
"""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    # CONCURRENTLY allows no transaction around it.
    with op.get_context().autocommit_block():
        op.execute(
            "CREATE UNIQUE INDEX CONCURRENTLY uq_semester_enrollments_active"
            " ON semester_enrollments (user_id, semester_id) WHERE is_active = TRUE"
        )
        op.execute("SET lock_timeout = '2s'")
        op.execute(
            "ALTER TABLE users ADD CONSTRAINT ck_users_credit_balance_non_negative"
            " CHECK (credit_balance >= 0) NOT VALID"
        )
        op.execute("ALTER TABLE users VALIDATE CONSTRAINT ck_users_credit_balance_non_negative")
        op.execute("RESET lock_timeout")


def downgrade() -> None:
    op.execute("ALTER TABLE users DROP CONSTRAINT ck_users_credit_balance_non_negative")
    with op.get_context().autocommit_block():
        op.execute("DROP INDEX CONCURRENTLY uq_semester_enrollments_active")
