"""The file of archives: what may stand in it, and what it never holds."""

import stat
import tomllib
from pathlib import Path
from typing import Any

import pytest

from ostensor.imaging.errors import BadCall
from ostensor.store.archives.nodes import Node, read_nodes, write_nodes

WEB = Node("hospital-1", "dicomweb", "https://pacs.example.org/dicom-web", token_env="PACS_TOKEN", may_store=True)
OLD = Node("old", "dimse", host="10.0.0.7", port=4242, aet="PACS", calling="US", tls=True, most_gb=1.5)
RECORDS = Node("records", "fhir", "http://127.0.0.1:8080/fhir", user="me", password_env="P", ca_file='a "b" \\ c')


def test_nodes_come_back_as_they_were_written_and_for_their_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "new" / "archives.toml"
    nodes = {node.name: node for node in (WEB, OLD, RECORDS)}
    write_nodes(file, nodes)
    assert read_nodes(file) == nodes
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    written = tomllib.loads(file.read_text(encoding="utf-8"))["archives"]
    assert written["hospital-1"] == {"kind": "dicomweb", "url": WEB.url, "token_env": "PACS_TOKEN", "may_store": True}


def test_no_file_is_no_archive(tmp_path: Path) -> None:
    assert read_nodes(None) == read_nodes(tmp_path / "none.toml") == {}


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"name": "Ärzte"}, "no address can hold"),
    ({"name": "../x"}, "no address can hold"),
    ({"kind": "ftp"}, "is of kind 'ftp'"),
    ({"url": "pacs.example.org"}, r"no http\(s\) url"),
    ({"url": "https://me:secret@pacs.example.org"}, "a user, key or query in it"),
    ({"url": "https://pacs.example.org/?token=secret"}, "a user, key or query in it"),
    ({"url": "http://pacs.example.org/x"}, "unencrypted"),
    ({"token_env": "abc.def-secret"}, "names no environment variable"),
    ({"user": "me", "token_env": ""}, "a user without a password"),
    ({"user": "me", "password_env": "P"}, "both a token and a password"),
    ({"most_gb": 0}, "downloads of 0 GB"),
    ({"kind": "fhir"}, "a FHIR server with may_store"),
    ({"kind": "dimse"}, "not for dimse"),
    ({"kind": "dimse", "url": "", "token_env": "", "host": "x", "port": 70_000, "aet": "A"}, "no usable host and port"),
    ({"kind": "dimse", "url": "", "token_env": "", "host": "x", "port": 1, "aet": "A" * 17}, "no usable AE titles"),
]


@pytest.mark.parametrize(("changes", "words"), WRONG)
def test_a_node_that_cannot_work_is_refused_without_its_key(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(BadCall, match=words) as told:
        Node(**{**vars(WEB), **changes})
    assert "secret" not in str(told.value)


def test_plain_http_to_another_machine_is_a_decision() -> None:
    assert Node("x", "dicomweb", "http://10.0.0.7/dicom-web", plain_http=True).url
    assert Node("x", "dicomweb", "http://localhost:8042/dicom-web").url


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("token = 'very-secret", "no valid TOML"),
        ("archives = 3", r"no tables \[archives.NAME\]"),
        ("[archives]\nx = 3", "is no table"),
        ("[archives.x]\nurl = 'https://a/b'", "has no kind"),
        ("[archives.x]\nkind = 'fhir'\ntoken = 'very-secret'", "unknown setting 'token'.*never written"),
        ("[archives.x]\nkind = 'fhir'\nurl = 'https://a/b'\nmay_store = 'yes'", "wrong type. Allowed: bool"),
        ("[archives.x]\nkind = 'dimse'\nport = true", "wrong type. Allowed: int"),
    ],
)
def test_a_file_that_is_wrong_is_refused_without_its_words(text: str, words: str, tmp_path: Path) -> None:
    file = tmp_path / "archives.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(BadCall, match=words) as told:
        read_nodes(file)
    assert "very-secret" not in str(told.value)
