"""The record: what is refused, by name, and how missing values are handled."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from ostensor.imaging.errors import BadCall
from ostensor.models.prognosis.ehr import FIELDS, Feature, Outcome, column_names, encode
from ostensor.models.prognosis.reading import dictionaries, flattened, outcome_of, read_record


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, "The record is empty"),
        ({"age_years": None}, "knows nothing of the patient"),
        ({"disease": "lung cancer"}, "knows nothing of the patient"),
        ({"age_years": "63"}, "'age_years' is '63': must be a number"),
        ({"age_years": True}, "'age_years' is 'True': must be a number"),
        ({"age_years": -4}, "'age_years' is '-4'.*greater than or equal to 0"),
        ({"age_years": float("nan")}, "'age_years'"),
        ({"weight_kg": 80_000}, "'weight_kg' is '80000'.*less than or equal to 400"),
        ({"age": 63, "sex": "male"}, "Unknown field 'age'.*Fields: disease, age_years"),
        ({"sex": "X"}, "'sex' is 'X'.*'female' or 'male'"),
        ({"diabetes": "yes"}, "'diabetes' is 'yes': must be true or false"),
        ({"t_stage": "7"}, "'t_stage' is '7'"),
        ({"disease": "measles", "age_years": 4}, "'disease' is 'measles'"),
    ],
)
def test_bad_records_are_refused_by_name(values: dict[str, Any], said: str) -> None:
    with pytest.raises(BadCall, match=said):
        read_record(values)


@pytest.mark.parametrize(
    ("days", "died", "said"),
    [
        (None, True, r"event \(True\) has no time"),
        (float("nan"), True, "has no time"),
        (30, None, r"time \(30 days\) has no event"),
        (-3, True, "-3 days is impossible"),
        ("30", True, "has no time"),
    ],
)
def test_an_event_without_a_time_is_refused(days: object, died: bool | None, said: str) -> None:
    with pytest.raises(BadCall, match=said):
        Outcome.of(days, died)


def test_json_text_a_csv_row_and_an_object_give_the_same_record() -> None:
    """Three spellings of one patient."""
    values = {"disease": "lung cancer", "age_years": 63.5, "sex": "female", "diabetes": False, "n_stage": None}
    heading = "disease,age_years,sex,diabetes,n_stage"
    row = "lung cancer,63.5,female,false,"
    made = [read_record(given) for given in (values, json.dumps(values), f"{heading}\n{row}\n")]
    assert made[0].record == made[1].record == made[2].record
    assert [one.form for one in made] == ["fields", "fields", "csv"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{not json", "not JSON"),
        ("[1, 2]", "list of 2"),
        ("age_years\n63\n64\n", "holds 2 patients"),
        ("age_years,sex\n63\n", "different lengths"),
        ("age_years\nold\n", "'age_years' is 'old': must be a number"),
        ("", "0 patients"),
    ],
)
def test_bad_text_is_refused(text: str, said: str) -> None:
    with pytest.raises(BadCall, match=said):
        read_record(text)


def test_a_cohort_s_own_columns_are_translated_and_the_unused_ones_listed() -> None:
    """Nested names, values in the cohort's words, '2.0' for 2, and X for not known."""
    kits = read_record(
        {
            "case_id": "x", "age_at_nephrectomy": 49, "gender": "male", "pathology_t_stage": "1a",
            "pathology_n_stage": "X", "last_preop_egfr": {"value": ">=90", "days_before_nephrectomy": 3},
            "comorbidities": {"myocardial_infarction": False, "congestive_heart_failure": True}, "er_visit": True,
        }
    )  # fmt: skip
    assert kits.form == "kidney_tumour"
    assert kits.record.known == {
        "disease": "kidney tumour", "age_years": 49, "sex": "male", "t_stage": "1a", "egfr_ml_min": 90, "heart_disease": True,
    }  # fmt: skip
    assert "er_visit" in kits.ignored
    with pytest.raises(BadCall, match=r"'gender' is 'M'\. Allowed: male, female"):
        read_record({"age_at_nephrectomy": 49, "gender": "M"})
    lung = read_record({"age": "70.5", "clinical.T.Stage": 2.0, "Overall.Stage": "IIIb", "Histology": "NA"}).record
    assert (lung.age_years, lung.t_stage, lung.overall_stage, lung.histology) == (70.5, "2", "IIIb", None)


def test_every_dictionary_points_at_fields_of_the_record() -> None:
    for native in dictionaries().values():
        assert {rule["field"] for rule in native.columns.values()} <= set(FIELDS)
        assert not native.ignored & set(native.columns)


@pytest.mark.data
def test_every_row_of_the_real_tables_is_read(shared_data: Path) -> None:
    """Counts from the tables' own README files: 150 patients with 15 deaths, 140 with 123."""
    rows = json.loads((shared_data / "kits_ehr" / "clinical.json").read_text(encoding="utf-8"))
    native = dictionaries()["kidney_tumour"]
    found = [outcome_of(flattened(row), native) for row in rows if read_record(row).record.age_years is not None]
    assert (len(found), sum(one.died for one in found)) == (150, 15)
    text = (shared_data / "lung1_clinical" / "lung1_clinical.csv").read_text(encoding="utf-8")
    lung = list(csv.DictReader(text.splitlines()))
    died = [outcome_of(row, dictionaries()["lung_cancer"]).died for row in lung if read_record(row)]
    assert (len(died), sum(died)) == (140, 123)


def test_a_missing_value_is_zero_with_its_indicator_and_so_is_an_untaught_level() -> None:
    features = (
        Feature("age_years", "number", mean=60, sd=10),
        Feature("histology", "level", levels=("papillary", "clear cell")),
        Feature("t_stage", "level", levels=("1", "2"), ordinal=(1, 2), mean=1, sd=2),
    )
    assert encode(features, {"age_years": 75, "histology": "clear cell", "t_stage": "2"}) == [1.5, 0, 1, 0.5, 0, 0, 0]
    assert encode(features, {"histology": "benign"}) == [0, 0, 0, 0, 1, 1, 1]
    assert column_names(features) == [
        "age_years",
        "histology",
        "histology",
        "t_stage",
        "age_years",
        "histology",
        "t_stage",
    ]
