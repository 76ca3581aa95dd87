"""A record as one English sentence, for prognosis heads that read text (T2). Torch-free.

Source: DuPLUS spec §5: beside the vector, a text rendering of the record for T2. The wording is ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_PHRASES: Mapping[str, str] = {
    "weight_kg": "weight {} kg",
    "height_cm": "height {} cm",
    "bmi_kg_m2": "body mass index {}",
    "pack_years": "{} pack-years",
    "alcohol": "alcohol {}",
    "performance_status": "performance status {}",
    "egfr_ml_min": "eGFR {} ml/min",
    "tumour_size_cm": "tumour of {} cm",
    "histology": "{} histology",
    "grade": "grade {}",
    "t_stage": "T{}",
    "n_stage": "N{}",
    "m_stage": "M{}",
    "overall_stage": "overall stage {}",
}
_SMOKING = {"never": "never smoked", "former": "former smoker", "current": "current smoker", "ever": "has smoked"}
_FLAGS: Mapping[str, str] = {
    "hpv_positive": "HPV positive",
    "diabetes": "diabetes",
    "chronic_kidney_disease": "chronic kidney disease",
    "heart_disease": "heart disease",
    "vascular_disease": "vascular disease",
    "chronic_lung_disease": "chronic lung disease",
    "liver_disease": "liver disease",
    "other_cancer": "another cancer",
    "metastatic_cancer": "metastases",
    "necrosis": "necrosis",
    "chemotherapy": "chemotherapy",
}


def record_sentence(values: Mapping[str, Any]) -> str:
    """What is known of a patient, as one sentence; fields that are not known are not mentioned.

    Args:
        values: fields of `EhrRecord` by name; others, such as measures of a mask, are left out.

    Example: "Prognosis of a 66-year-old male patient with lung cancer: T2, N1, overall stage IIIa."
    """
    age, sex, disease = (values.get(name) for name in ("age_years", "sex", "disease"))
    who = " ".join(part for part in ("" if age is None else f"{age:.0f}-year-old", sex or "", "patient") if part)
    article = "an" if who[0] in "a8" or who.startswith(("11-", "18-")) else "a"
    known = [phrase.format(_plain(values[name])) for name, phrase in _PHRASES.items() if values.get(name) is not None]
    if values.get("smoking") in _SMOKING:
        known.append(_SMOKING[values["smoking"]])
    if values.get("surgery") is not None:
        known.append(f"{'no' if values['surgery'] == 'none' else values['surgery']} surgery")
    known += [text if values[name] else f"no {text}" for name, text in _FLAGS.items() if values.get(name) is not None]
    start = f"Prognosis of {article} {who}" + (f" with {disease}" if disease else "")
    return f"{start}: {', '.join(known)}." if known else f"{start}."


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
