"""Addresses: what they mean, and what of them is written down."""

import pytest

from ostensor.imaging.errors import BadCall
from ostensor.store.archives.addresses import is_address, parse_address, without_patients


def test_the_parts_of_an_address() -> None:
    found = parse_address(" 'dicomweb://pacs-2/study_0123456789ab/1.2.840.10008' ")
    assert (found.kind, found.name, found.study, found.series) == (
        "dicomweb", "pacs-2", "study_0123456789ab", "1.2.840.10008",
    )  # fmt: skip
    filters = parse_address("DIMSE://pacs?modality=ct&since=2024-02-29&until=2024-12-31&patient=A%20B&offset=7").filters
    assert filters == {"modality": "CT", "since": "20240229", "until": "20241231", "patient": "A B", "offset": "7"}
    assert parse_address("fhir://ehr/Patient/a-1.b").patient == "a-1.b"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("dicomweb://", "not followed by the name"),
        ("dicomweb://host:8042/x", "not followed by the name"),
        ("dicomweb://a/series_0123456789ab", "study in the address is neither"),
        ("dicomweb://a/1.2/study_0123456789ab", "series in the address is neither"),
        ("dicomweb://a/%2e%2e", "neither an alias"),
        ("dicomweb://a/" + "1." * 40 + "1", "neither an alias"),
        ("dicomweb://a?colour=red", "'colour' cannot be filtered by"),
        ("dicomweb://a/1.2?modality=CT", "cannot be filtered by here"),
        ("dicomweb://a?modality=C-T", "no code of DICOM"),
        ("dicomweb://a?since=2024-02-30", "since is no day"),
        ("dicomweb://a?offset=-1", "offset is no whole number"),
        ("dicomweb://a?patient=Sec*", "no patient ID"),
        ("dicomweb://a?patient=Sec%5CRet", "no patient ID"),
        ("fhir://a/Patient", "fhir://NAME/Patient/ID"),
        ("fhir://a/Observation/1", "fhir://NAME/Patient/ID"),
        ("fhir://a/Patient/Secret?_count=9", "fhir://NAME/Patient/ID"),
        ("fhir://a/Patient/..%2f..%2fSecret", "fhir://NAME/Patient/ID"),
    ],
)
def test_an_address_that_means_nothing_is_refused_without_its_patient(text: str, words: str) -> None:
    with pytest.raises(BadCall, match=words) as told:
        parse_address(text)
    assert "Sec" not in str(told.value)


def test_paths_and_records_are_no_addresses() -> None:
    assert not any(map(is_address, ("ct.nii.gz", "http://a/b", "file:///a", "a,b\n1,2", "", None, {"age_years": 3})))
    assert all(map(is_address, ("dicomweb://a", " fhir://a/Patient/1", "Dimse://a", "'dicomweb://a'")))


def test_what_names_a_patient_is_written_nowhere() -> None:
    arguments = {
        "root": "dicomweb://a?modality=CT&patient=4711&since=2024-01-01",
        "ehr": "fhir://ehr/Patient/4711",
        "many": ["dimse://a?Patient=4711", 3, None, {"deep": "fhir://b/patient/4711/x"}],
        "path": "dicomweb://a/1.2.3",
        "text": "patient=4711 is no address",
    }
    assert without_patients(arguments) == {
        "root": "dicomweb://a?modality=CT&patient=…&since=2024-01-01",
        "ehr": "fhir://ehr/Patient/…",
        "many": ["dimse://a?Patient=…", 3, None, {"deep": "fhir://b/patient/…/x"}],
        "path": "dicomweb://a/1.2.3",
        "text": "patient=4711 is no address",
    }


def test_blanks_and_quotes_of_an_id_are_left_out_too() -> None:
    """Such IDs are taken and searched for, so none of their words may reach the audit log."""
    text = "dicomweb://a?patient=O'NEIL JANE 7&modality=CT"
    assert parse_address(text).filters["patient"] == "O'NEIL JANE 7"
    assert without_patients(text) == "dicomweb://a?patient=…&modality=CT"
    assert without_patients("fhir://ehr/Patient/Doe, Jane") == "fhir://ehr/Patient/…"
