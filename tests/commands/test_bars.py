"""Long commands show that they go on, on a terminal and nowhere else."""

import io

import pytest
from rich.console import Console

from ostensor.commands import options


def drawn(monkeypatch: pytest.MonkeyPatch, *, terminal: bool) -> io.StringIO:
    seen = io.StringIO()
    monkeypatch.setattr(options, "Console", lambda **_: Console(file=seen, force_terminal=terminal, width=80))
    return seen


def test_work_of_unknown_length_shows_a_bar_and_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = drawn(monkeypatch, terminal=True)
    with options.shown_work("measuring"):
        pass
    assert "measuring" in seen.getvalue()
    assert "0:00:00" in seen.getvalue()


def test_a_share_that_is_told_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = drawn(monkeypatch, terminal=True)
    with options.shown_progress("segment") as report:
        report(0.42, "slices")
    assert "segment: slices" in seen.getvalue()
    assert "42%" in seen.getvalue()


def test_a_file_gets_no_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = drawn(monkeypatch, terminal=False)
    with options.shown_work("measuring"), options.shown_progress("segment") as report:
        report(0.42, "slices")
    assert seen.getvalue().strip() == ""
