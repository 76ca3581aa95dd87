"""The audit log: order, many writers, a reader that stops early, lines that were cut."""

import json
import subprocess
import sys
from pathlib import Path

from ostensor.store.audit import AuditLog

WRITER = """
import os, sys
from pathlib import Path
from ostensor.store.audit import AuditLog
log = AuditLog(Path(sys.argv[1]))
for number in range(300):
    log.write(sys.argv[2], {"number": number, "report": "x" * 5000}, "ok")
os._exit(0)  # as a kill: nothing is flushed or closed
"""


def test_no_log_yet_has_no_entries(tmp_path: Path) -> None:
    assert AuditLog(tmp_path / "audit.jsonl").last(5) == ()


def test_the_latest_come_first_and_no_more_than_asked_for(tmp_path: Path) -> None:
    """300 entries of 1,013 bytes are longer than one block of the reader; json of each line is the truth."""
    log = AuditLog(tmp_path / "audit.jsonl")
    for number in range(300):
        log.write("measure", {"number": number, "text": "é" * 150}, "ok")
    for count in (1, 7, 299, 300, 301):
        wanted = list(range(299, 299 - min(count, 300), -1))
        assert [entry.arguments["number"] for entry in log.last(count)] == wanted
    lines = (tmp_path / "audit.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["arguments"]["number"] for line in lines] == list(range(300))


def test_two_processes_that_are_killed_leave_every_line_whole(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(path), name]) for name in ("one", "two")]
    assert [writer.wait(timeout=60) for writer in writers] == [0, 0]
    entries = AuditLog(path).last(1000)
    for name in ("one", "two"):
        numbers = [entry.arguments["number"] for entry in reversed(entries) if entry.tool == name]
        assert numbers == list(range(300))


def test_a_line_cut_by_a_full_disk_costs_only_itself(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "audit.jsonl")
    log.write("open_image", {"path": "a.nii"}, "ok")
    with log.path.open("ab") as file:
        file.write(b'{"at": "2026-01\n')
    log.write("segment", {}, "an answer that is long" * 200)
    entries = log.last(2)
    assert [entry.tool for entry in entries] == ["segment", "open_image"]
    assert len(entries[0].outcome) == 2000
