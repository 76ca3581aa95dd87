"""The audit log: order, many writers, lines that were cut."""

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


def test_every_call_is_a_line_of_json_in_order(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "audit.jsonl")
    for number in range(3):
        log.write("measure", {"number": number, "text": "é"}, "an answer that is long" * 200)
    entries = [json.loads(line) for line in log.path.read_text(encoding="utf-8").splitlines()]
    assert [entry["arguments"] for entry in entries] == [{"number": n, "text": "é"} for n in range(3)]
    assert {entry["tool"] for entry in entries} == {"measure"}
    assert {len(entry["outcome"]) for entry in entries} == {2000}


def test_a_second_process_adds_to_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    for tool in ("open_image", "segment"):
        AuditLog(path).write(tool, {}, "ok")
    assert [json.loads(line)["tool"] for line in path.read_text(encoding="utf-8").splitlines()] == [
        "open_image",
        "segment",
    ]


def test_two_processes_that_are_killed_leave_every_line_whole(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(path), name]) for name in ("one", "two")]
    assert [writer.wait(timeout=60) for writer in writers] == [0, 0]
    entries = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    for name in ("one", "two"):
        assert [e["arguments"]["number"] for e in entries if e["tool"] == name] == list(range(300))
