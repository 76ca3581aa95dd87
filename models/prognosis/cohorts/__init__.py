"""Column dictionaries: one TOML per patient cohort, its own column names onto the fields of the record."""
