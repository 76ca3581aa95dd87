"""Files on their way from an archive: a private folder that goes when its block ends, and bounds on all that comes."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ...imaging.errors import BadCall, Unavailable
from ...imaging.guards.machine import is_running, machine
from ...imaging.guards.private import make_private_folder

MOST_FILES = 20_000  # instances of a series; as many files as a DICOM folder may have
MOST_SECONDS = 900.0  # of one download; our choice
_OLD_S = 24 * 3600.0  # another machine's folder is left over by then
_LEFT = re.compile(r"([0-9a-f]{12})-(\d+)-.*")


class Meter:
    """Counts what arrives; refuses more than is allowed, and stops when the caller has left.

    Args:
        name: of the archive, as errors say it.
        what: arrives, as errors say it.
        most_bytes: of all that arrives.
        expected: files that will come; 0 where nobody knows.
        report: hears the share done and a word about it.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        name: str,
        most_bytes: int,
        *,
        what: str = "series",
        expected: int = 0,
        report: Callable[[float, str], None] = lambda share, message: None,
        cancelled: threading.Event | None = None,
        seconds: float = MOST_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name, self.most_bytes, self.expected, self._what = name, most_bytes, expected, what
        self._report, self._cancelled = report, cancelled
        self._clock, self._seconds, self._until = clock, seconds, clock() + seconds
        self.bytes = self.files = 0

    def add_bytes(self, count: int) -> None:
        """More has come.

        Raises:
            BadCall: it is more than one download may have.
            Unavailable: it takes too long, or the caller has left.
        """
        self.bytes += count
        self.check()
        if self.bytes > self.most_bytes:
            raise BadCall(
                f"The {self._what} is larger than {self.most_bytes / 1e9:.3g} GB, which one download from '{self.name}' may "
                f"have. Take a smaller one{', make room, or raise most_gb of the archive' if self._what == 'series' else ''}."
            )

    def add_file(self) -> None:
        """One more instance begins.

        Raises:
            BadCall: as `add_bytes`.
        """
        self.files += 1
        if self.files > max(1, min(MOST_FILES, self.expected * 2 or MOST_FILES)):
            raise BadCall(
                f"'{self.name}' sends more than {self.files - 1} instances, "
                f"{'twice what it announced' if self.expected else 'the most of one series'}. Open another series."
            )
        if self.expected:
            done = min(1.0, (self.files - 1) / self.expected)
            self._report(done, f"instance {self.files} of {self.expected} from {self.name}")
        else:
            self._report(0.0, f"instance {self.files} from {self.name}")

    @property
    def _is_cancelled(self) -> bool:
        return self._cancelled is not None and self._cancelled.is_set()

    @property
    def is_over(self) -> bool:
        """Whether `check` would stop it."""
        return self._is_cancelled or self._clock() > self._until

    def check(self) -> None:
        """Go on, or stop.

        Raises:
            Unavailable: it takes too long, or the caller has left.
        """
        if self._is_cancelled:
            raise Unavailable(f"The exchange with '{self.name}' was cancelled. Nothing of a download is kept.")
        if self.is_over:
            raise Unavailable(
                f"'{self.name}' was not done after {self._seconds:.0f} s, the most an exchange may take. "
                "Open a smaller series, or call again when the archive is less busy."
            )


@contextmanager
def private_download(folder: Path) -> Iterator[Path]:
    """A new folder below `folder` for its owner alone; it and all in it go when the block ends.

    What killed downloads left is removed first.
    """
    make_private_folder(folder)
    _sweep(folder)
    made = Path(tempfile.mkdtemp(prefix=f"{machine()}-{os.getpid()}-", dir=folder))  # 0700
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _sweep(folder: Path) -> None:
    for path in folder.iterdir():
        met = _LEFT.fullmatch(path.name)
        if met is None or path.is_symlink():
            continue
        gone = not is_running(int(met[2])) if met[1] == machine() else time.time() - path.stat().st_mtime > _OLD_S
        if gone:
            shutil.rmtree(path, ignore_errors=True)
