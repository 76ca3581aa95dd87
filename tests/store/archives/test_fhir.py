"""A FHIR server as a source of records: pages followed on its own host, and bounds on all of it."""

import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ostensor.imaging.errors import BadCall, OstensorError, Unavailable
from ostensor.models.prognosis.reading import read_record
from ostensor.store.archives import fhir
from ostensor.store.archives.archives import Archives
from ostensor.store.archives.nodes import ArchiveAccess, Node, write_nodes
from ostensor.tools.desk.desk import Desk
from ostensor.tools.desk.settings import Settings
from ostensor.tools.running import use

from ...toys.archive_server import TOKEN, ArchiveServer, running_archive

PATIENT = "pat-4711"
FIRST = f"/fhir/Patient/{PATIENT}/$everything?_count=200"
PRIVATE = (PATIENT, "Secret", "1956-02-03", "19560203")


def resources(base: str) -> list[dict[str, Any]]:
    """A lung cancer patient of 66 years; the second observation's subject is written as an absolute address."""
    me = {"reference": f"Patient/{PATIENT}"}

    def observation(code: str, **value: Any) -> dict[str, Any]:
        coding = [{"system": "http://loinc.org", "code": code}]
        return {"resourceType": "Observation", "status": "final", "code": {"coding": coding}, "subject": me, **value}

    disease = {"coding": [{"system": "http://hl7.org/fhir/sid/icd-10-cm", "code": "C34.1"}], "text": "Secret's lung"}
    return [
        {"resourceType": "Patient", "id": PATIENT, "gender": "male", "birthDate": "1956-02-03",
         "name": [{"family": "Secret", "given": ["Name"]}]},
        {"resourceType": "Condition", "code": disease, "subject": me, "recordedDate": "2022-02-04"},
        observation("21908-9", valueString="Stage IIIA"),
        {**observation("21905-5", valueString="cT2a"), "subject": {"reference": f"{base}/Patient/{PATIENT}"}},
        observation("21906-3", valueString="N2"),
    ]  # fmt: skip


def page(found: list[dict[str, Any]], after: str = "") -> dict[str, Any]:
    link = [{"relation": "self", "url": "x"}, *([{"relation": "next", "url": after}] if after else [])]
    return {
        "resourceType": "Bundle", "type": "searchset", "link": link, "entry": [{"resource": one} for one in found],
        "meta": {"lastUpdated": "2023-01-01T00:00:00Z"},
    }  # fmt: skip


@pytest.fixture
def server() -> Iterator[ArchiveServer]:
    with running_archive() as made:
        base = f"{made.rest}/fhir"
        found = resources(base)
        made.pages = {
            FIRST: page(found[:2], f"{base}?_getpages=1"),
            "/fhir?_getpages=1": page(found[2:4], "?_getpages=2"),  # relative: some servers write so
            "/fhir?_getpages=2": page(found[4:]),
            "/fhir/metadata": {"resourceType": "CapabilityStatement"},
        }
        yield made


def archives(server: ArchiveServer, folder: Path, **changes: Any) -> Archives:
    file = folder / "archives.toml"
    node = Node(**{"name": "ehr", "kind": "fhir", "url": f"{server.rest}/fhir", "token_env": "KEY", **changes})
    write_nodes(file, {"ehr": node})
    return Archives(ArchiveAccess(file, {"KEY": TOKEN}.get), folder / "archives")


def test_a_record_of_several_pages_is_read_as_one(server: ArchiveServer, tmp_path: Path) -> None:
    record = archives(server, tmp_path).record(f"fhir://ehr/Patient/{PATIENT}")
    assert [entry["resource"]["resourceType"] for entry in record["entry"]].count("Observation") == 3  # type: ignore[union-attr, attr-defined]
    known = read_record(record).record.known
    assert {"disease": "lung cancer", "sex": "male", "age_years": 66.0, "t_stage": "2a"}.items() <= known.items()
    assert len(server.asked) == 3


def test_prognosis_takes_the_address_and_names_nobody(
    server: ArchiveServer, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    file = settings.store.parent / "archives.toml"
    write_nodes(file, {"ehr": Node("ehr", "fhir", f"{server.rest}/fhir", token_env="KEY")})
    with Desk(replace(settings, archives=ArchiveAccess(file, {"KEY": TOKEN}.get))) as desk:
        answer = use(desk, "predict_prognosis", ehr=f"fhir://ehr/Patient/{PATIENT}")
        with pytest.raises(BadCall) as missing:
            use(desk, "predict_prognosis", ehr="fhir://ehr/Patient/Secret")
        audit = (desk.settings.store / "audit.jsonl").read_text(encoding="utf-8")
    assert answer.result.refused is None, answer.result.refused
    assert answer.result.cohort.disease == "lung cancer"
    assert "has no such patient (404)" in str(missing.value)
    logged = "\n".join(record.getMessage() for record in caplog.records)
    everything = "\n".join([answer.text, answer.result.model_dump_json(), str(missing.value), audit, logged])
    assert [one for one in PRIVATE if one in everything] == []
    assert json.loads(audit.splitlines()[0])["arguments"]["ehr"] == "fhir://ehr/Patient/…"


def elsewhere(server: ArchiveServer) -> None:
    server.pages[FIRST]["link"][1]["url"] = "https://evil.example/fhir?_getpages=1"


def another_port(server: ArchiveServer) -> None:
    server.pages[FIRST]["link"][1]["url"] = "http://127.0.0.1:9/fhir?_getpages=1"


def without_scheme(server: ArchiveServer) -> None:
    server.pages[FIRST]["link"][1]["url"] = "//evil.example/fhir"


def circle(server: ArchiveServer) -> None:
    server.pages["/fhir?_getpages=1"]["link"][1]["url"] = f"{server.rest}/fhir?_getpages=1"


def no_bundle(server: ArchiveServer) -> None:
    server.pages[FIRST] = {"resourceType": "Patient", "name": "Secret"}


def two_patients(server: ArchiveServer) -> None:
    del server.pages[FIRST]["link"][1]
    server.pages[FIRST]["entry"] *= 2


@pytest.mark.parametrize(
    ("spoil", "kind", "words"),
    [
        (elsewhere, Unavailable, "another host, and only the configured one is asked"),
        (another_port, Unavailable, "another host"),
        (without_scheme, Unavailable, "another host"),
        (circle, Unavailable, "do not end after"),
        (no_bundle, Unavailable, "no Bundle"),
        (two_patients, BadCall, "2 patients"),
    ],
)
def test_what_goes_wrong_is_told_and_nothing_leaves_the_host(
    spoil: Any, kind: type[OstensorError], words: str, server: ArchiveServer, tmp_path: Path
) -> None:
    spoil(server)
    with pytest.raises(kind, match=words) as told:
        read_record(archives(server, tmp_path).record(f"fhir://ehr/Patient/{PATIENT}"))
    assert not any(one in str(told.value) for one in PRIVATE)
    assert len(server.asked) <= 3


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("401", r"\(401\).*KEY"),
        ("503", "busy or down"),
        ("page", "text/html"),
        ("no json", "JSON that cannot be read"),
    ],
)
def test_faults_of_the_server_are_told(fault: str, words: str, server: ArchiveServer, tmp_path: Path) -> None:
    server.faults["record"] = fault
    with pytest.raises(Unavailable, match=words):
        archives(server, tmp_path).record(f"fhir://ehr/Patient/{PATIENT}")


def test_a_record_without_end_is_bounded(
    server: ArchiveServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fhir, "MOST_BYTES", 500)
    with pytest.raises(BadCall, match="record is larger than"):
        archives(server, tmp_path).record(f"fhir://ehr/Patient/{PATIENT}")
    monkeypatch.setattr(fhir, "MOST_BYTES", 10**6)
    monkeypatch.setattr(fhir, "MOST_PAGES", 1)
    with pytest.raises(Unavailable, match="do not end after 1"):
        archives(server, tmp_path).record(f"fhir://ehr/Patient/{PATIENT}")


def test_a_server_says_what_it_is(server: ArchiveServer, tmp_path: Path) -> None:
    known = archives(server, tmp_path)
    assert known.check(known.nodes["ehr"]) == "'ehr' is a FHIR server."
    server.pages["/fhir/metadata"] = {"resourceType": "Patient"}
    with pytest.raises(Unavailable, match="no CapabilityStatement"):
        known.check(known.nodes["ehr"])
    with pytest.raises(BadCall, match="holds records, no scans"), known.connected(known.nodes["ehr"]):
        pass
