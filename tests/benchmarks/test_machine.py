"""Most memory a program has held: what it took itself, also after it gave it back, and nothing of its parent's."""

import platform
import resource
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from ostensor.models.inference.hardware import peak_mb

TAKE = """
from ostensor.models.inference.hardware import peak_mb
before = peak_mb()
held = b"x" * 200_000_000
during = peak_mb()
del held
print(before, during, peak_mb())
"""


def test_the_peak_rises_by_what_is_taken_and_stays_when_it_is_given_back() -> None:
    """200 million bytes are 200 MB; 5 for whatever else moves, and for pages the kernel counts late."""
    done = subprocess.run([sys.executable, "-c", TAKE], capture_output=True, text=True, check=True)
    before, during, after = (float(part) for part in done.stdout.split())
    assert during - before == pytest.approx(200, abs=5)
    assert after == pytest.approx(during, abs=5)


def test_it_is_never_below_what_is_held_now() -> None:
    """psutil's figure in bytes; 1 MB for pages that the kernel counts late."""
    assert peak_mb() >= psutil.Process().memory_info().rss / 1e6 - 1


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
def test_a_child_does_not_begin_with_its_parents_peak() -> None:
    held = b"x" * 300_000_000
    done = subprocess.run([sys.executable, "-c", TAKE], capture_output=True, text=True, check=True)
    assert peak_mb() > len(held) / 1e6
    assert float(done.stdout.split()[0]) < 150, "a bare interpreter and psutil"


@pytest.mark.parametrize(("system", "counted"), [("Darwin", 500_000_000), ("Linux", 488_281.25)])
def test_without_proc_the_unit_is_that_of_the_system(
    system: str, counted: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """500 MB as getrusage tells it: bytes on macOS (its getrusage(2)), KiB on Linux."""

    def gone(*_given: object, **_named: object) -> str:
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", gone)
    monkeypatch.setattr(platform, "system", lambda: system)
    monkeypatch.setattr(resource, "getrusage", lambda who: SimpleNamespace(ru_maxrss=counted))
    assert peak_mb() == pytest.approx(500)
