"""Stages and sex as people and records write them."""

import pytest

from ostensor.imaging.errors import BadCall
from ostensor.models.prognosis.ehr import record_of


@pytest.mark.parametrize(
    ("field", "written", "meant"),
    [
        ("t_stage", "T2a", "2a"),
        ("t_stage", "cT1b", "1b"),
        ("t_stage", "pT3a", "3"),
        ("t_stage", "ypT1c", "1"),
        ("t_stage", 4, "4"),
        ("t_stage", "TX", None),
        ("n_stage", "N0", "0"),
        ("n_stage", "pN2b", "2"),
        ("n_stage", "Nx", None),
        ("m_stage", "M1a", "1"),
        ("m_stage", "cM0", "0"),
        ("overall_stage", "stage IIIA", "IIIa"),
        ("overall_stage", "3b", "IIIb"),
        ("overall_stage", "IA2", "I"),
        ("overall_stage", "iv", "IV"),
        ("sex", "m", "male"),
        ("sex", "F", "female"),
        ("sex", "Female", "female"),
    ],
)
def test_standard_notations_pass(field: str, written: object, meant: str | None) -> None:
    assert getattr(record_of({field: written, "age_years": 60}), field) == meant


@pytest.mark.parametrize(
    ("field", "written"),
    [("t_stage", "T5"), ("t_stage", "Tis"), ("n_stage", "T2"), ("m_stage", "M2"), ("overall_stage", "V"), ("sex", "x")],
)
def test_what_is_no_stage_is_refused(field: str, written: str) -> None:
    with pytest.raises(BadCall, match=field):
        record_of({field: written})
