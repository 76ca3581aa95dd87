"""DuPLUS."""
