"""Records as sentences."""

import pytest

from ostensor.models.prognosis.sentence import record_sentence


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (
            {"age_years": 66.4, "sex": "male", "disease": "lung cancer", "t_stage": "2a", "overall_stage": "IIIa"},
            "Prognosis of a 66-year-old male patient with lung cancer: T2a, overall stage IIIa.",
        ),
        ({"age_years": 81.0, "smoking": "former"}, "Prognosis of an 81-year-old patient: former smoker."),
        (
            {"diabetes": False, "necrosis": True, "tumour_volume_ml": 7.0},
            "Prognosis of a patient: no diabetes, necrosis.",
        ),
        (
            {"tumour_size_cm": 5.5, "surgery": "none", "sex": None},
            "Prognosis of a patient: tumour of 5.5 cm, no surgery.",
        ),
        ({}, "Prognosis of a patient."),
    ],
)
def test_only_what_is_known_is_said(values: dict[str, object], said: str) -> None:
    assert record_sentence(values) == said


def test_every_field_of_the_record_has_its_words() -> None:
    """A new field that no sentence mentions would be lost to text models."""
    from ostensor.models.prognosis import sentence as ehr_text
    from ostensor.models.prognosis.ehr import FIELDS

    told = {*ehr_text._PHRASES, *ehr_text._FLAGS, "smoking", "surgery", "age_years", "sex", "disease"}
    assert told == set(FIELDS)
