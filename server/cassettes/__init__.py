"""Recorded sessions, replayed."""
