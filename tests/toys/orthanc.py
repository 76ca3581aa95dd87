"""Debian's Orthanc as a test starts it: a folder of its own, free ports, one user, DICOMweb and DIMSE."""

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

PROGRAM = "/usr/sbin/Orthanc"
PLUGIN = "/usr/share/orthanc/plugins/libOrthancDicomWeb.so"  # the folder of the plugins itself loads nothing
USER, PASSWORD = "ostensor", "correct horse battery"
_UP_S = 30.0


@dataclass(frozen=True)
class Orthanc:
    """A running server; `url` is the root of its DICOMweb."""

    rest: str
    port: int

    @property
    def url(self) -> str:
        return f"{self.rest}/dicom-web"

    def upload(self, file: Path) -> None:
        answer = httpx.post(f"{self.rest}/instances", content=file.read_bytes(), auth=(USER, PASSWORD), trust_env=False)
        assert answer.status_code == 200, answer.text

    def count(self, what: str = "instances") -> int:
        answer = httpx.get(f"{self.rest}/{what}", auth=(USER, PASSWORD), trust_env=False)
        return len(answer.json())


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@contextmanager
def running_orthanc(folder: Path) -> Iterator[Orthanc]:
    """Start one; skips with what is missing."""
    program = shutil.which("Orthanc") or PROGRAM
    if not Path(program).exists() or not Path(PLUGIN).exists():
        pytest.skip("needs Orthanc with DICOMweb: `make orthanc` (Debian's orthanc and orthanc-dicomweb)")
    web, dicom = free_port(), free_port()
    config = {
        "Name": "test", "StorageDirectory": str(folder / "db"), "IndexDirectory": str(folder / "db"),
        "HttpPort": web, "DicomPort": dicom, "DicomAet": "ORTHANC", "RemoteAccessAllowed": False,
        "AuthenticationEnabled": True, "RegisteredUsers": {USER: PASSWORD}, "Plugins": [PLUGIN],
        "DicomCheckCalledAet": True, "DicomAlwaysAllowEcho": True, "DicomAlwaysAllowStore": True,
        "DicomModalities": {"us": ["OSTENSOR", "127.0.0.1", 1]}, "DicomWeb": {"Enable": True},
        "StableAge": 1,
    }  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with (folder / "log.txt").open("wb") as log:
        process = subprocess.Popen([program, str(folder / "config.json")], stdout=log, stderr=log, cwd=folder)
    server = Orthanc(f"http://127.0.0.1:{web}", dicom)
    try:
        _wait(server, process, folder)
        yield server
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(server: Orthanc, process: "subprocess.Popen[bytes]", folder: Path) -> None:
    until = time.monotonic() + _UP_S
    while time.monotonic() < until and process.poll() is None:
        try:
            answer = httpx.get(f"{server.url}/studies", auth=(USER, PASSWORD), trust_env=False, timeout=2)
            if answer.status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.1)
    raise AssertionError(f"Orthanc did not start: {(folder / 'log.txt').read_text(errors='replace')[-2000:]}")
