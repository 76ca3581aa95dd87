"""Alembic's environment: one revision for every schema the catalogue has had."""
