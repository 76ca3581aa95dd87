"""The three kinds of error a user can meet.

A message states one fact with the value, what is allowed, and what to do next. It never
contains a path outside the roots, a key or a patient's name (STYLE §5).
"""


class OstensorError(Exception):
    """Base of every error this library raises on purpose."""


class BadCall(OstensorError, ValueError):
    """The caller can fix it: a wrong argument, file, handle or name."""


class Unavailable(OstensorError):
    """Something is missing (weights, licence, worker, memory); the message says how to get it."""


class Failed(OstensorError):
    """Our fault; the message is short and the whole trace is in the log."""
