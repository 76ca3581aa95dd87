"""What servers and workers do, in figures, spans and lines of a log; never about whom."""
