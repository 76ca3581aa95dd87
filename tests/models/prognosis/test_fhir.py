"""FHIR R4 bundles: the fields we use, everything else listed, and what is refused."""

from typing import Any

import pytest

from ostensor.imaging.errors import BadCall
from ostensor.models.prognosis.reading import read_record

LOINC, SNOMED, ICD = "http://loinc.org", "http://snomed.info/sct", "http://hl7.org/fhir/sid/icd-10"


def coded(kind: str, system: str, code: str, **more: Any) -> dict[str, Any]:
    return {
        "resourceType": kind,
        "code": {"coding": [{"system": system, "code": code}]},
        "subject": {"reference": "Patient/1"},
        **more,
    }


def quantity(code: str, value: object, unit: str, at: str = "2020-01-01") -> dict[str, Any]:
    return coded("Observation", LOINC, code, valueQuantity={"value": value, "code": unit}, effectiveDateTime=at)


def bundle(*resources: dict[str, Any]) -> dict[str, Any]:
    patient = {"resourceType": "Patient", "id": "1", "gender": "female", "birthDate": "1950-03-02"}
    return {
        "resourceType": "Bundle",
        "type": "collection",
        "entry": [{"resource": one} for one in (patient, *resources)],
    }


CANCER = coded("Condition", ICD, "C64.1", recordedDate="2020-03-02")


def test_patient_condition_observation_and_procedure_become_fields_in_their_units() -> None:
    """Two hundred pounds are 90.7 kg; 45 mm are 4.5 cm; of two weights the later counts."""
    read = read_record(
        bundle(
            CANCER,
            coded("Condition", SNOMED, "44054006"),
            quantity("29463-7", 70, "kg", "2019-01-01"),
            quantity("29463-7", 200, "[lb_av]", "2020-02-01"),
            quantity("33728-7", 45, "mm"),
            coded("Observation", LOINC, "21899-0", valueCodeableConcept={"text": "pT2a"}),
            coded("Observation", LOINC, "21908-9", valueString="Stage IIIB"),
            coded("Observation", LOINC, "21906-3", valueString="cNX"),
            coded("Procedure", SNOMED, "81516001", status="completed"),
            coded("Observation", LOINC, "8480-6", valueQuantity={"value": 120, "code": "mm[Hg]"}),
            {"resourceType": "MedicationRequest", "subject": {"reference": "Patient/1"}},
        )
    )
    known = read.record.known
    assert known.pop("weight_kg") == pytest.approx(90.718, abs=0.01)
    assert known.pop("tumour_size_cm") == pytest.approx(4.5)
    assert known.pop("age_years") == pytest.approx(70.0, abs=0.01)
    assert known == {
        "disease": "kidney tumour", "sex": "female", "diabetes": True, "t_stage": "2a", "overall_stage": "IIIb", "surgery": "partial",
    }  # fmt: skip
    assert read.ignored == ("MedicationRequest (1)", "Observation 21906-3 (1)", "Observation 8480-6 (1)")


def test_an_unlisted_condition_stays_unknown_and_a_refuted_one_is_not_used() -> None:
    refuted = coded("Condition", SNOMED, "44054006", verificationStatus={"coding": [{"code": "refuted"}]})
    assert read_record(bundle(CANCER, refuted)).record.diabetes is None


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (bundle(CANCER, {"resourceType": "Patient", "id": "2"}), "holds 2 patients"),
        (
            bundle(CANCER, {**quantity("29463-7", 70, "kg"), "subject": {"reference": "Patient/2"}}),
            "belong to 2 patients",
        ),
        ({"resourceType": "Bundle", "entry": []}, "holds 0 patients"),
        ({"resourceType": "Patient", "gender": "male"}, "FHIR 'Patient'. A Bundle is needed"),
        (bundle(CANCER, quantity("29463-7", 70, "stone")), r"29463-7 \(weight_kg\) is in 'stone'. Allowed: 'kg'"),
        (bundle(CANCER, quantity("29463-7", "70", "kg")), "'70', no number"),
        (bundle(CANCER, quantity("29463-7", -70, "kg")), "'weight_kg' is '-70"),
        (bundle(CANCER, coded("Condition", ICD, "C34.1")), "both kidney tumour and lung cancer"),
    ],
)
def test_bad_bundles_are_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(BadCall, match=said):
        read_record(given)
