"""How much memory a piece of work took at its peak, which is more than what is left when it is done."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def _kib(field: str) -> int:
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(field))
    return int(line.split()[1])


@contextmanager
def peak_below(megabytes: int) -> Iterator[None]:
    """The block's resident memory grows by less than this at any moment."""
    if not _CLEAR.exists():
        pytest.skip("needs Linux's /proc/self/clear_refs, which tells the peak of a piece of work")
    gc.collect()
    _CLEAR.write_text("5")  # the peak is counted from here
    before = _kib("VmRSS")
    yield
    grown = (_kib("VmHWM") - before) // 1024
    assert grown < megabytes, f"grew by {grown} MB"
