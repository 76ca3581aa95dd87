"""The three kinds of error a user can meet.

A message states one fact with the value, what is allowed, and what to do next. It never
contains a path outside the roots, a key or a patient's name (STYLE §5). Whatever else is raised becomes one of
the three in one place, `as_one_of_ours`; its own words are never repeated, for libraries put paths and header
values into them.
"""

from __future__ import annotations

import errno
import logging
import traceback

_FULL = (errno.ENOSPC, errno.EDQUOT)
_SQLITE_FULL, _SQLITE_AWAY = 13, (8, 10, 14)  # FULL; READONLY, IOERR, CANTOPEN: https://sqlite.org/rescode.html
_SERVER_AWAY = ("08", "53", "55", "57")  # classes of https://www.postgresql.org/docs/15/errcodes-appendix.html
_MANY = (errno.EMFILE, errno.ENFILE)


class OstensorError(Exception):
    """Base of every error this library raises on purpose."""


class BadCall(OstensorError, ValueError):
    """The caller can fix it: a wrong argument, file, handle or name."""


class Unavailable(OstensorError):
    """Something is missing (weights, licence, worker, memory); the message says how to get it."""


class Failed(OstensorError):
    """Our fault; the message is short and the whole trace is in the log."""


def as_one_of_ours(error: Exception, doing: str) -> OstensorError:
    """Any exception as one of the three kinds, with a cause and a next step; one of them stays as it is.

    Args:
        doing: what was under way, e.g. "segment".
    """
    if isinstance(error, OstensorError):
        return error
    if isinstance(error, MemoryError):
        return Unavailable(
            f"There is not enough memory for '{doing}'. Ask for fewer structures or a smaller scan, or close other programs."
        )
    number = error.errno if isinstance(error, OSError) else None
    if number in _FULL or _database_code(error) == _SQLITE_FULL:
        return Unavailable(
            f"The disk is full, so '{doing}' could not write. Free some space, then call it again; reading still works."
        )
    if _database_code(error) in _SQLITE_AWAY:
        return Unavailable(
            f"The store's catalogue cannot be read or written, so '{doing}' stopped: its disk is full, gone or read-only. "
            "Make room or put it back, then call it again."
        )
    if _is_of_a_server(error):
        return Unavailable(
            f"The shared catalogue does not answer, so '{doing}' stopped: its database was restarted, is full or cannot be "
            "reached. What was acknowledged is kept. Wait a moment, then call it again; if it lasts, start PostgreSQL."
        )
    if number in _MANY:
        return Unavailable(f"Too many files are open for '{doing}'. Wait for running jobs to end, then call it again.")
    if isinstance(error, PermissionError) or number == errno.EROFS:
        return Unavailable(
            f"'{doing}' may not read or write one of its files. Check their permissions, then call it again."
        )
    if isinstance(error, TimeoutError):
        return Unavailable(f"'{doing}' waited too long for another process. Call it again.")
    return Failed(
        f"'{doing}' stopped on our side ({type(error).__name__} in {_place(error)}). Nothing you gave is known to be wrong. "
        "Call it once more; if it stops again, try another input and report this line with the server's log."
    )


def _database_code(error: Exception) -> int | None:
    """SQLite's primary result code behind an error of a database library, by what the error itself carries."""
    code = getattr(getattr(error, "orig", error), "sqlite_errorcode", None)
    return None if code is None else int(code) & 0xFF


def _is_of_a_server(error: Exception) -> bool:
    """Whether a database server is away, full, or has no connection left, by what the error itself carries."""
    state = getattr(getattr(error, "orig", None), "sqlstate", "")  # None where no server answered
    kinds = {kind.__name__ for kind in type(error).__mro__ if kind.__module__ == "sqlalchemy.exc"}
    if "TimeoutError" in kinds:
        return True
    return bool(kinds & {"OperationalError", "InterfaceError"}) and (state is None or state[:2] in _SERVER_AWAY)


def log_crash(log: logging.Logger, doing: str, error: Exception) -> None:
    """Write where an exception came from; see `bare_trace`."""
    log.error("%s: %s", doing, bare_trace(error))


def bare_trace(error: BaseException) -> str:
    """The type of an exception and its frames, without the words of any library, which may name a patient or a path."""
    frames = "\n".join(
        f"  {_short(frame.filename)}:{frame.lineno} in {frame.name}"
        for frame in traceback.extract_tb(error.__traceback__)
    )
    return f"{type(error).__name__}\n{frames}"


def _place(error: Exception) -> str:
    """The innermost function of ours that the exception passed, as `module:line`."""
    places = [f"{_short(frame.filename)}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)]
    ours = [place for place in places if place.startswith("ostensor/")]
    return (ours or places or ["an unknown place"])[-1]


def _short(path: str) -> str:
    """`ostensor/imaging/x.py` of our own files, the last two parts of any other."""
    root = __file__.rpartition("/imaging/")[0]
    return f"ostensor{path.removeprefix(root)}" if path.startswith(root + "/") else "/".join(path.split("/")[-2:])
