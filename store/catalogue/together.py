"""What servers that share a catalogue do together: count requests, keep one log of calls, and hold one key."""

from __future__ import annotations

import json
import logging
import secrets as randomness
import threading
from collections import deque
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from ..records import buckets, events, now, secrets

log = logging.getLogger(__name__)

_HELD = 1000  # calls kept while the database is away
_OUTCOME = 2000  # characters kept of how a call ended


class EventLog:
    """Calls of all servers in one table, in the order in which they were written.

    A row is not forced to disk, like a line of the audit file: if the database's machine loses power, the last second
    may be lost. While the database is away the last `_HELD` calls wait in memory.
    """

    def __init__(self, engine: sa.Engine, server: str) -> None:
        self.engine, self.server = engine, server
        self._waiting: deque[dict[str, Any]] = deque(maxlen=_HELD)
        self._lock = threading.Lock()

    def write(self, tool: str, arguments: Mapping[str, Any], outcome: str) -> None:
        """Append one call."""
        row = {
            "at": now(),
            "tool": tool[:64],
            "arguments": json.loads(json.dumps(dict(arguments), default=str)),
            "outcome": _clean(outcome[:_OUTCOME]),
        }
        with self._lock:
            self._waiting.append({**row, "server": self.server})
            try:
                with self.engine.begin() as connection:
                    connection.exec_driver_sql("SET LOCAL synchronous_commit = off")
                    connection.execute(events.insert(), list(self._waiting))
                self._waiting.clear()
            except sa.exc.DataError as error:  # what the database will never take must not hold up the rest
                self._waiting.pop()
                log.error("a call cannot be logged: %s", type(error).__name__)
            except (sa.exc.DBAPIError, sa.exc.TimeoutError) as error:
                log.warning("the log of calls cannot be written: %s; %d wait", type(error).__name__, len(self._waiting))

    @property
    def behind(self) -> int:
        """Calls that could not be written yet."""
        return len(self._waiting)


class Buckets:
    """Token buckets of callers, filled and emptied by the database's clock in one statement."""

    def __init__(self, engine: sa.Engine) -> None:
        self.engine = engine

    def wait_s(self, caller: str, cost: float, burst: float, per_s: float) -> float:
        """0 when the bucket held the cost (and it is taken), else the seconds until it will.

        Raises:
            sa.exc.SQLAlchemyError: the database is away.
        """
        clock = sa.extract("epoch", sa.func.clock_timestamp())
        filled = sa.func.least(burst, buckets.c.tokens + sa.func.greatest(0.0, clock - buckets.c.at) * per_s)
        take = postgresql.insert(buckets).values(caller=caller, tokens=burst - cost, at=clock)
        take = take.on_conflict_do_update(
            index_elements=[buckets.c.caller], set_={"tokens": filled - cost, "at": clock}, where=filled >= cost
        )
        with self.engine.begin() as connection:
            connection.exec_driver_sql("SET LOCAL synchronous_commit = off")
            if connection.scalar(take.returning(buckets.c.caller)) is not None:
                return 0.0
            left = connection.scalar(sa.select(filled).where(buckets.c.caller == caller))
        return max(0.001, (cost - float(left or 0.0)) / per_s)

    def forget_idle(self, full_after_s: float) -> None:
        """Drop the buckets that are full again."""
        clock = sa.extract("epoch", sa.func.clock_timestamp())
        with self.engine.begin() as connection:
            connection.execute(buckets.delete().where(buckets.c.at < clock - full_after_s))


def shared_secret(engine: sa.Engine, name: str) -> bytes:
    """32 random bytes that every server of a catalogue knows under this name; made by the first who asks."""
    made = postgresql.insert(secrets).values(name=name, value=randomness.token_bytes(32)).on_conflict_do_nothing()
    with engine.begin() as connection:
        connection.execute(made)
        return bytes(connection.scalars(sa.select(secrets.c.value).where(secrets.c.name == name)).one())


def _clean(text: str) -> str:
    """Text as PostgreSQL takes it."""
    return text.replace("\0", "")
