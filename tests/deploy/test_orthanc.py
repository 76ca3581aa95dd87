"""Orthanc with the shipped settings is the archive that the shipped archives.toml names."""

import json
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from ostensor.store.archives.archives import Archives
from ostensor.store.archives.nodes import ArchiveAccess, read_nodes, write_nodes

from ..toys.http_toys import free_port
from ..toys.orthanc import PLUGIN, PROGRAM

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"


@pytest.mark.skipif(not Path(PLUGIN).exists(), reason="needs Orthanc with DICOMweb: `make orthanc`")
def test_orthanc_answers_who_has_the_password_and_nobody_else(tmp_path: Path) -> None:
    port, password = free_port(), "of a secret"
    config = json.loads((DEPLOY / "orthanc/orthanc.json").read_text(encoding="utf-8"))
    config |= {name: str(tmp_path / "db") for name in ("StorageDirectory", "IndexDirectory")}
    config |= {"HttpPort": port, "Plugins": [PLUGIN], "RegisteredUsers": {"ostensor": password}}
    (tmp_path / "orthanc.json").write_text(json.dumps(config), encoding="utf-8")
    node = read_nodes(DEPLOY / "archives.toml")["pacs"]
    node = replace(node, url=node.url.replace("orthanc:8042", f"127.0.0.1:{port}"))
    write_nodes(tmp_path / "archives.toml", {"pacs": node})
    log = (tmp_path / "log.txt").open("wb")
    with (
        log,
        subprocess.Popen([PROGRAM, str(tmp_path / "orthanc.json")], stdout=log, stderr=log, cwd=tmp_path) as process,
    ):
        try:
            for _ in range(300):
                try:
                    anonymous = httpx.get(f"{node.url}/studies", trust_env=False, timeout=2).status_code
                    break
                except httpx.HTTPError:
                    assert process.poll() is None, (tmp_path / "log.txt").read_text()[-1000:]
                    time.sleep(0.1)
            access = ArchiveAccess(tmp_path / "archives.toml", {"ORTHANC_PASSWORD": password}.get)
            said = Archives(access, tmp_path / "kept").check(node)
        finally:
            process.terminate()
    assert anonymous == 401
    assert said
