"""`predict_prognosis`: a survival curve with its cohort, or a refusal with its reason."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from ... import __version__
from ...imaging.errors import BadCall, Unavailable
from ...models.prognosis.curves import INTERVAL, Curves
from ...models.prognosis.ehr import DISEASES
from ...models.prognosis.predictor import MAX_MISSING, PrognosisModel, prognosis_models
from ...models.prognosis.reading import ReadRecord, read_record
from ...models.prognosis.tumour_measures import tumour_measures
from ...store.archives.addresses import is_address
from ..desk.desk import Answer, Call, Desk, allowed_use
from ..desk.results import Provenance
from .curve_picture import curve_png
from .results import CohortCard, Contribution, PrognosisResult, Reason, SurvivalPoint

TUMOUR_WORDS = ("tumour", "tumor", "lesion", "mass", "cancer", "carcinoma", "neoplasm")
_POINTS = 13
_SHOWN = 6  # contributions that are named
HANDLING = "Missing fields enter as the cohort's mean with a missing indicator, as in training."
BY = "permutation: mean change of the risk score when the field takes other patients' values"


class _Refusal(Exception):
    """A patient the cohort says nothing about; becomes an answer, not an error."""

    def __init__(self, reason: Reason, text: str) -> None:
        super().__init__(text)
        self.reason, self.text = reason, text


def predict_prognosis(
    desk: Desk,
    call: Call,
    ehr: Annotated[
        dict[str, Any] | str,
        Field(
            description="One patient: {disease: 'kidney tumour'|'lung cancer', age_years, sex, t_stage, n_stage, "
            "m_stage, overall_stage, histology, grade, necrosis, tumour_size_cm, ...}; a FHIR R4 Bundle; a cohort's "
            "own columns; JSON or CSV text; or fhir://NAME/Patient/ID."
        ),
    ],
    horizon: Annotated[
        float | None, Field(description="Days after the cohort's day 0; default: the longest it knows.", gt=0)
    ] = None,
    image_id: Annotated[str | None, Field(description="Their scan; needs a tumour in mask_ids.")] = None,
    mask_ids: Annotated[list[str] | None, Field(description="Its tumour (and organ).", max_length=20)] = None,
    allow_synthetic: Annotated[bool, Field(description="As in measure.")] = False,
) -> Answer:
    """Predict survival of one cancer patient from the record, and the tumour's mask if given. Research only.

    Answers risk (higher is worse), survival over days with interval, what moved it, the cohort, what was missing.
    `refused`: the patient is unlike the cohort, too much is missing or the scan shows no tumour. Never state it as
    certain; name cohort and C-index. Example: predict_prognosis(ehr={"disease": "lung cancer", "age_years": 66})
    """
    read = read_record(_record(desk, call, ehr))
    inputs = [*([image_id] if image_id else []), *(mask_ids or [])]
    provenance = Provenance(tool="predict_prognosis", version=__version__, inputs=inputs)
    try:
        measured = _measured(desk, image_id, mask_ids or [], read, allow_synthetic=allow_synthetic)
        model = _model(desk, read, fused=bool(measured))
        values = {**read.record.known, **measured}
        _check(model, values, horizon)
    except _Refusal as refusal:
        result = PrognosisResult(
            refused=refusal.text, reason=refusal.reason, ignored=list(read.ignored), provenance=provenance
        )
        return Answer(f"No prognosis is given: {refusal.text}", result)
    nobodys = any(desk.store.image(one).synthetic for one in _images(desk, image_id, mask_ids or []))
    return _answer(model, read, values, measured, horizon, provenance, synthetic=nobodys)


def _record(desk: Desk, call: Call, ehr: dict[str, Any] | str) -> Mapping[str, Any] | str:
    """The record as it was given, or fetched from a configured FHIR server."""
    if not isinstance(ehr, str) or not is_address(ehr):
        return ehr
    call.report(0.1, "asking for the record")
    return desk.archives.record(ehr, call.cancelled)


def _images(desk: Desk, image_id: str | None, mask_ids: list[str]) -> set[str]:
    """The scan that is named and those the masks lie on."""
    return {desk.store.mask_record(mask_id).image_id for mask_id in mask_ids} | ({image_id} if image_id else set())


def _measured(
    desk: Desk, image_id: str | None, mask_ids: list[str], read: ReadRecord, *, allow_synthetic: bool
) -> dict[str, float]:
    """Measures of the tumour's mask, after the checks on the scan; nothing when no scan is given."""
    if image_id is None and not mask_ids:
        return {}
    records = [desk.store.mask_record(mask_id) for mask_id in mask_ids]
    images = _images(desk, image_id, mask_ids)
    if len(images) > 1:
        raise BadCall(
            f"The masks and the image belong to {len(images)} images: {', '.join(sorted(images))}. Give one scan."
        )
    image = desk.store.image(images.pop())
    if image.synthetic and not allow_synthetic:
        raise _Refusal(
            "synthetic_image",
            f"{image.image_id} is a synthetic image; it is nobody's. Give the patient's scan, or set "
            "allow_synthetic=true if you mean it.",
        )
    cohort = next((m.cohort for m in prognosis_models().values() if m.cohort.disease == read.record.disease), None)
    if cohort is not None and image.modality not in cohort.modalities:
        allowed = ", ".join(cohort.modalities)
        raise _Refusal("modality", f"The scan is '{image.modality}', the cohort's are {allowed}. Leave the image out.")
    organs = set(cohort.organs) if cohort else set()
    tumour = np.zeros(image.grid.shape, dtype=np.bool_)
    organ = tumour.copy()
    for record in records:
        name = (record.structure or "").lower()
        if any(word in name for word in TUMOUR_WORDS):
            tumour |= desk.store.mask(record.mask_id).array
        elif name in organs:
            organ |= desk.store.mask(record.mask_id).array
        else:
            raise BadCall(
                f"The mask '{record.mask_id}' shows '{name[:60]}', neither a tumour nor "
                f"{', '.join(sorted(organs)) or 'an organ this cohort uses'}. Leave it out, or name it a tumour."
            )
    if not tumour.any():
        raise _Refusal(
            "no_evidence",
            f"No mask shows a tumour in {image.image_id}, so the scan gives no evidence of the disease. "
            "Segment the tumour and pass its mask, or leave the image out.",
        )
    measures = tumour_measures(tumour, organ & ~tumour if organ.any() else None, image.grid)
    return {name: value for name, value in measures.items() if value is not None}


def _model(desk: Desk, read: ReadRecord, *, fused: bool) -> PrognosisModel:
    """The model of the disease; with the tumour's measures where one takes them."""
    models = prognosis_models()
    diseases = sorted({model.cohort.disease for model in models.values()})
    disease = read.record.disease
    if disease is None:
        raise _Refusal("disease", f"The record names no disease. Set disease to one of: {', '.join(diseases)}.")
    fitting = [model for model in models.values() if model.cohort.disease == disease]
    if not fitting:
        raise _Refusal(
            "disease", f"No cohort here had {disease}. Known: {', '.join(diseases)} (of {', '.join(DISEASES)})."
        )
    if allowed_use(desk) == "any":
        raise Unavailable("The prognosis models are for research only, but this server runs with purpose 'commercial'.")
    with_image = [model for model in fitting if model.image]
    return with_image[0] if fused and with_image else next(model for model in fitting if not model.image)


def _check(model: PrognosisModel, values: Mapping[str, Any], horizon: float | None) -> None:
    """Refuse a patient the cohort says nothing about."""
    low, high = model.facts["age_range"]
    age = values.get("age_years")
    if age is None:
        raise _Refusal(
            "age", f"The age is not known, so it cannot be checked against the cohort's {low:.0f} to {high:.0f} years."
        )
    if not low <= age <= high:
        raise _Refusal("age", f"Age {age:g} is outside the cohort's {low:.0f} to {high:.0f} years.")
    missing = model.missing(values)
    if len(missing) > MAX_MISSING * len(model.features):
        raise _Refusal(
            "missing_fields",
            f"{len(missing)} of {len(model.features)} fields are missing, at most half may be. Missing: {', '.join(missing)}.",
        )
    if horizon is not None and horizon > model.facts["horizon_days"]:
        raise _Refusal(
            "horizon",
            f"Day {horizon:g} is beyond the cohort's last usable day, {model.facts['horizon_days']:.0f}. Ask for less.",
        )


def _answer(
    model: PrognosisModel,
    read: ReadRecord,
    values: Mapping[str, Any],
    measured: Mapping[str, float],
    horizon: float | None,
    provenance: Provenance,
    *,
    synthetic: bool,
) -> Answer:
    curves = model.curves([values])
    risk = float(curves.risk[0])
    last = float(model.facts["horizon_days"])
    days = sorted({round(float(day), 1) for day in np.linspace(0, last, _POINTS)} | ({horizon} if horizon else set()))
    points = [_point(curves, day) for day in days]
    at = _point(curves, horizon or last)
    median = curves.median_day(0)
    missing = model.missing(values)
    warnings = ["Research only; a small cohort, never validated elsewhere."]
    if model.facts["c_index_low"] <= 0.5:
        warnings.append("The C-index interval includes 0.5: this model may rank patients no better than chance.")
    if synthetic:
        warnings.append("The scan is synthetic, so this is nobody's outlook.")
    if measured and not model.image:
        warnings.append("This cohort's model does not use the scan; it was only checked for a tumour.")
    used = {f.field for f in model.features}
    unused = sorted(set(read.record.known) - used - {"disease"})
    result = PrognosisResult(
        mode="image and record" if model.image else "record only",
        risk=round(risk, 4),
        risk_group=model.group(risk),  # type: ignore[arg-type]  # one of the three
        risk_percentile=round(model.percentile(risk), 1),
        survival=points,
        at_horizon=at,
        median_survival_days=None if median is None else round(median, 1),
        median_is="not reached" if median is None else "reached",
        interval=INTERVAL,
        contributions=[Contribution(field=f, effect=round(e, 4)) for f, e in model.contributions(values)[:_SHOWN]],
        contributions_by=BY,
        missing=missing,
        missing_handling=HANDLING if missing else "Nothing is missing.",
        ignored=[*read.ignored, *unused],
        measured={name: round(value, 3) for name, value in measured.items()} if model.image else {},
        cohort=_card(model),
        warnings=warnings,
        provenance=provenance.model_copy(
            update={
                "model": model.name,
                "weights_sha256": model.facts["sha256"],
                "licence": model.facts["licence"],
                "purpose": model.facts["purpose"],
                "engine": "numpy",
                "seed": model.facts["seed"],
            }
        ),
    )
    picture = curve_png(points, model.facts["cohort_curve"], title=model.cohort.title, day_0=model.cohort.origin)
    return Answer(_said(result), result, (picture,))


def _point(curves: Curves, day: float) -> SurvivalPoint:
    mean, low, high = (curves.at(0, day, v) for v in (curves.mean, curves.low, curves.high))
    return SurvivalPoint(
        day=day, probability=round(mean, 4), low=round(min(low, mean), 4), high=round(max(high, mean), 4)
    )


def _card(model: PrognosisModel) -> CohortCard:
    facts, stage = model.facts, model.facts["metrics"].get("stage alone")
    return CohortCard(
        name=model.cohort.title,
        disease=model.cohort.disease,
        patients=facts["patients"],
        deaths=facts["deaths"],
        age_range=[float(age) for age in facts["age_range"]],
        day_0=model.cohort.origin,
        horizon_days=round(facts["horizon_days"], 1),
        c_index=facts["c_index"],
        c_index_low=facts["c_index_low"],
        c_index_high=facts["c_index_high"],
        stage_alone_c_index=stage["harrell"]["mean"] if stage else None,
        licence=facts["licence"],
        purpose=facts["purpose"],
    )


def _said(result: PrognosisResult) -> str:
    at, card = result.at_horizon, result.cohort
    assert at is not None
    assert card is not None
    median = f"median {result.median_survival_days:.0f} days" if result.median_survival_days else "median not reached"
    missing = f" Missing: {', '.join(result.missing)}." if result.missing else ""
    return (
        f"Risk group {result.risk_group} of {card.name}: survival {at.probability:.0%} ({at.low:.0%} to {at.high:.0%}, "
        f"{result.interval}) at day {at.day:.0f} after {card.day_0}; {median}. Held-out C-index {card.c_index:.2f} "
        f"({card.c_index_low:.2f} to {card.c_index_high:.2f}), {card.patients} patients.{missing} {' '.join(result.warnings)}"
    )
