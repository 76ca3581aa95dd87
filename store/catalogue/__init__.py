"""The database of a store: SQLite in its folder, or PostgreSQL that several servers share."""
