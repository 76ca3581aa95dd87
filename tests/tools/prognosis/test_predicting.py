"""`predict_prognosis` as a client meets it: the answer, every refusal, bad records, and no torch in the server."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ostensor.imaging.volume import Grid, Mask, Volume
from ostensor.models.prognosis.predictor import prognosis_models
from ostensor.tools.desk.desk import Desk
from ostensor.tools.desk.settings import Settings

from ...toys.desks import Ask

LUNG: dict[str, Any] = {
    "disease": "lung cancer", "age_years": 66, "sex": "male", "t_stage": "2", "n_stage": "1", "overall_stage": "II",
    "histology": "squamous cell",
}  # fmt: skip
KIDNEY: dict[str, Any] = {
    "disease": "kidney tumour", "age_years": 61, "sex": "female", "t_stage": "1a", "n_stage": "0", "m_stage": "0",
    "tumour_size_cm": 3.1, "grade": 2, "necrosis": False,
}  # fmt: skip


def placed(desk: Desk, *, modality: str = "ct", synthetic: bool = False, empty: bool = False) -> tuple[str, str, str]:
    """A scan with a kidney and a tumour of 7 x 8 x 9 voxels of 0.5 x 0.7 x 2 mm, as handles."""
    shape = (31, 29, 23)
    grid = Grid(shape, np.diag([0.5, 0.7, 2.0, 1.0]))
    array = np.random.default_rng(2).integers(-50, 90, shape).astype(np.int16)
    image = desk.store.add_image(Volume(array, grid, modality, synthetic), source_name="x")  # type: ignore[arg-type]
    tumour, kidney = np.zeros(shape, bool), np.zeros(shape, bool)
    kidney[5:25, 5:25, 5:20] = True
    if not empty:
        tumour[6:13, 7:15, 8:17] = True
    masks = [
        desk.store.add_mask(Mask(values, grid), image_id=image.image_id, structure=name).mask_id
        for name, values in (("tumour of the left kidney", tumour), ("left kidney", kidney))
    ]
    return image.image_id, masks[0], masks[1]


def test_a_curve_with_interval_cohort_and_picture(ask: Ask) -> None:
    """The field names of DESIGN §4; S falls from 1, lies in its interval, and the asked day is among the days."""
    reply = ask("predict_prognosis", ehr=LUNG, horizon=700)
    made = reply.result
    assert not reply.is_error
    assert reply.pictures == 1
    assert made["refused"] is None
    days = [point["day"] for point in made["survival"]]
    values = [point["probability"] for point in made["survival"]]
    assert days == sorted(days)
    assert days[0] == 0
    assert 700 in days
    assert values[0] == 1
    assert values == sorted(values, reverse=True)
    assert all(0 <= p["low"] <= p["probability"] <= p["high"] <= 1 for p in made["survival"])
    assert made["at_horizon"] == made["survival"][days.index(700)]
    assert made["risk"] > 0
    assert made["cohort"]["patients"] == 140
    assert made["cohort"]["deaths"] == 123
    assert made["cohort"]["purpose"] == "research-only"
    assert "bootstrap" in made["interval"]
    assert made["contributions_by"].startswith("permutation")
    assert made["contributions"]
    assert "C-index" in reply.text
    assert len(reply.text) / 4 <= 400


def test_what_is_missing_is_named_and_the_median_is_where_the_curve_is_one_half(ask: Ask) -> None:
    made = ask("predict_prognosis", ehr={**LUNG, "histology": None}).result
    assert made["missing"] == ["histology"]
    assert "as in training" in made["missing_handling"]
    if made["median_is"] == "reached":
        days, values = zip(*((p["day"], p["probability"]) for p in made["survival"]), strict=True)
        assert np.interp(made["median_survival_days"], days, values) == pytest.approx(0.5, abs=0.05)
    assert ask("predict_prognosis", ehr=KIDNEY).result["median_is"] == "not reached"


def test_a_higher_stage_has_a_higher_risk(ask: Ask) -> None:
    """What every oncologist expects of T4 N1 M1 against T1a N0 M0."""
    low = ask("predict_prognosis", ehr=KIDNEY).result
    high = ask(
        "predict_prognosis", ehr={**KIDNEY, "t_stage": "4", "n_stage": "1", "m_stage": "1", "tumour_size_cm": 12}
    ).result
    assert high["risk"] > low["risk"]
    assert high["risk_percentile"] > low["risk_percentile"]
    assert high["risk_group"] == "high"


def test_masks_of_tumour_and_kidney_enter_with_their_measures(ask: Ask, desk: Desk) -> None:
    """Volume by hand: 7 x 8 x 9 voxels of 0.7 mm3; the kidney loses the tumour's voxels."""
    image_id, tumour, kidney = placed(desk)
    made = ask("predict_prognosis", ehr=KIDNEY, image_id=image_id, mask_ids=[tumour, kidney]).result
    assert made["refused"] is None
    assert made["mode"] == "image and record"
    assert made["measured"]["tumour_volume_ml"] == pytest.approx(504 * 0.7 / 1000, abs=1e-3)
    assert made["measured"]["organ_volume_ml"] == pytest.approx((6000 - 504) * 0.7 / 1000, abs=1e-3)
    assert made["provenance"]["inputs"] == [image_id, tumour, kidney]
    alone = ask("predict_prognosis", ehr=KIDNEY).result
    assert alone["mode"] == "record only"
    assert alone["provenance"]["model"] != made["provenance"]["model"]


@pytest.mark.parametrize(
    ("ehr", "more", "reason", "said"),
    [
        ({**LUNG, "age_years": 19}, {}, "age", "Age 19 is outside the cohort's"),
        ({**LUNG, "age_years": None}, {}, "age", "age is not known"),
        ({**LUNG, "disease": "head and neck cancer"}, {}, "disease", "No cohort here had head and neck cancer"),
        ({"age_years": 66}, {}, "disease", "names no disease"),
        ({"disease": "lung cancer", "age_years": 66}, {}, "missing_fields", "fields are missing"),
        (LUNG, {"horizon": 36_500}, "horizon", "beyond the cohort's last usable day"),
    ],
)
def test_a_patient_unlike_the_cohort_is_refused(
    ask: Ask, ehr: dict[str, Any], more: dict[str, Any], reason: str, said: str
) -> None:
    made = ask("predict_prognosis", ehr=ehr, **more)
    assert not made.is_error
    assert made.result["reason"] == reason
    assert said in made.result["refused"]
    assert made.result["risk"] is None
    assert made.result["survival"] == []
    assert said in made.text


@pytest.mark.parametrize(
    ("scan", "masks", "reason", "said"),
    [
        ({"synthetic": True}, True, "synthetic_image", "synthetic image"),
        ({"modality": "mr"}, True, "modality", "The scan is 'mr', the cohort's are ct"),
        ({"empty": True}, True, "no_evidence", "No mask shows a tumour"),
        ({}, False, "no_evidence", "No mask shows a tumour"),
    ],
)
def test_a_scan_that_gives_no_evidence_is_refused(
    ask: Ask, desk: Desk, scan: dict[str, Any], masks: bool, reason: str, said: str
) -> None:
    image_id, tumour, _kidney = placed(desk, **scan)
    made = ask("predict_prognosis", ehr=KIDNEY, image_id=image_id, mask_ids=[tumour] if masks else []).result
    assert made["reason"] == reason
    assert said in made["refused"]


def test_a_synthetic_scan_is_used_when_allowed_and_the_answer_says_so(ask: Ask, desk: Desk) -> None:
    image_id, tumour, _kidney = placed(desk, synthetic=True)
    made = ask("predict_prognosis", ehr=KIDNEY, image_id=image_id, mask_ids=[tumour], allow_synthetic=True)
    assert made.result["refused"] is None
    assert made.result["mode"] == "image and record"
    assert "The scan is synthetic" in made.text


@pytest.mark.parametrize(
    ("ehr", "said"),
    [
        ({}, "record is empty"),
        ({"age_years": "66", "disease": "lung cancer"}, "'age_years' is '66': must be a number"),
        ({**LUNG, "age_years": -1}, "'age_years' is '-1'"),
        ({**LUNG, "shoe_size": 43}, "Unknown field 'shoe_size'"),
        ({"resourceType": "Bundle", "entry": [{"resource": {"resourceType": "Patient"}}] * 2}, "holds 2 patients"),
        ("age_years\n66\n70", "holds 2 patients"),
    ],
)
def test_a_bad_record_is_an_error_that_names_it(ask: Ask, ehr: dict[str, Any] | str, said: str) -> None:
    reply = ask("predict_prognosis", ehr=ehr)
    assert reply.is_error
    assert said in reply.text


def test_masks_of_two_scans_or_of_another_organ_are_an_error(ask: Ask, desk: Desk) -> None:
    _image, tumour, _kidney = placed(desk)
    other, other_tumour, _ = placed(desk, modality="pet")
    assert "belong to 2 images" in ask("predict_prognosis", ehr=KIDNEY, mask_ids=[tumour, other_tumour]).text
    grid = desk.store.image(other).grid
    image_id = desk.store.mask_record(tumour).image_id
    spleen = desk.store.add_mask(Mask(np.ones(grid.shape, bool), grid), image_id=image_id, structure="spleen").mask_id
    reply = ask("predict_prognosis", ehr=KIDNEY, mask_ids=[tumour, spleen])
    assert reply.is_error
    assert "shows 'spleen', neither a tumour" in reply.text


def test_a_commercial_server_refuses_research_weights(settings: Settings) -> None:
    from dataclasses import replace

    from ostensor.imaging.errors import Unavailable
    from ostensor.tools.running import use

    with (
        Desk(replace(settings, purpose="commercial")) as desk,
        pytest.raises(Unavailable, match="for research only"),
    ):
        use(desk, "predict_prognosis", ehr=LUNG)


def test_bundled_models_have_honest_cards() -> None:
    """Issue point 4: both tables, baselines on the same folds, research-only; within 0.01 of the best where the goal is met."""
    models = prognosis_models()
    assert {model.cohort.disease for model in models.values()} == {"kidney tumour", "lung cancer"}
    for model in models.values():
        metrics = model.facts["metrics"]
        assert {"ours", "cox", "random survival forest"} <= set(metrics)
        assert {row["harrell"]["folds"] for row in metrics.values()} == {model.facts["folds"] * model.facts["repeats"]}
        assert model.facts["purpose"] == "research-only"
        assert model.facts["c_index_low"] < model.facts["c_index"] < model.facts["c_index_high"]
        if model.ehr:
            assert "stage alone" in metrics


@pytest.mark.data
def test_real_rows_are_answered_in_their_own_columns(ask: Ask, shared_data: Path) -> None:
    """Every tenth KiTS patient; those who died have the higher mean risk (they were in the training set)."""
    rows = json.loads((shared_data / "kits_ehr" / "clinical.json").read_text(encoding="utf-8"))
    died, lived = [], []
    for row in [r for r in rows if r["vital_status"] == "dead"][:6] + [r for r in rows if r["vital_status"] != "dead"][
        :6
    ]:
        made = ask("predict_prognosis", ehr=row).result
        if made["refused"] is None:
            (died if row["vital_status"] == "dead" else lived).append(made["risk"])
            assert "vital_status" in made["ignored"]
    assert np.mean(died) > np.mean(lived)


def test_prediction_loads_no_torch() -> None:
    """DESIGN §1, in a fresh process."""
    code = (
        "import sys; from ostensor.models.prognosis.predictor import prognosis_models;"
        "m = next(iter(prognosis_models().values())); m.curves([{'age_years': 60}]);"
        "import ostensor.tools.prognosis.predicting; sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_segment_takes_a_context_only_with_a_model_that_does(ask: Ask, image_id: str) -> None:
    reply = ask("segment", image_id=image_id, structures=["liver"], context="A CT scan of the abdomen")
    assert reply.is_error
    assert "'auto' takes no context" in reply.text
