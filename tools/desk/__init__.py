"""What every tool works at."""
