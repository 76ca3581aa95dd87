"""The few fields of a FHIR R4 bundle that prognosis models use: Patient, Condition, Observation, Procedure."""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

from ...imaging.errors import BadCall
from .cohorts import __file__ as _cohorts_init

_SYSTEMS = {"http://loinc.org": "loinc", "http://snomed.info/sct": "snomed"}
_STAGE = re.compile(r"^(?:stage\s*)?[cpyr]*[TNM]?\s*(is|[0-4][ab]?|x|IV|III[ab]?|II|I)\b", re.IGNORECASE)


@cache
def codes() -> Mapping[str, Any]:
    """The code list, a data file."""
    path = Path(_cohorts_init).parent / "fhir.toml"
    return tomllib.loads(path.read_text(encoding="utf-8"))


def read_bundle(bundle: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Our fields of the one patient in a bundle, and what was left aside, with counts.

    Where a measurement was made several times the latest counts. A condition that is not listed says
    nothing: the field stays unknown. Age is taken at the cancer's recorded date, else at the bundle's.

    Raises:
        BadCall: not a bundle, no patient or several, an unknown unit, or conflicting cancers.
    """
    if bundle.get("resourceType") != "Bundle":
        raise BadCall(f"This is a FHIR '{str(bundle.get('resourceType'))[:40]}'. A Bundle is needed. Wrap it in one.")
    kinds: dict[str, list[Mapping[str, Any]]] = {}
    for entry in bundle.get("entry") or []:
        resource = entry.get("resource") if isinstance(entry, Mapping) else None
        if not isinstance(resource, Mapping):
            continue
        kinds.setdefault(str(resource.get("resourceType")), []).append(resource)
    patient = _the_patient(kinds)
    values: dict[str, Any] = {"sex": {"male": "male", "female": "female"}.get(str(patient.get("gender")))}
    ignored: Counter[str] = Counter()
    at = _conditions(kinds.get("Condition", []), values, ignored)
    _procedures(kinds.get("Procedure", []), values, ignored)
    _observations(kinds.get("Observation", []), values, ignored)
    age = _years(patient.get("birthDate"), at or bundle.get("timestamp"))
    if age is not None:
        values["age_years"] = age
    for kind, found in kinds.items():
        if kind not in ("Patient", "Condition", "Observation", "Procedure"):
            ignored[kind] += len(found)
    return values, tuple(f"{name} ({count})" for name, count in sorted(ignored.items()))


def _the_patient(kinds: Mapping[str, list[Mapping[str, Any]]]) -> Mapping[str, Any]:
    patients = kinds.get("Patient", [])
    if len(patients) != 1:
        raise BadCall(f"The bundle holds {len(patients)} patients. It must hold exactly one. Split it.")
    references = {
        str(resource["subject"].get("reference"))
        for found in kinds.values()
        for resource in found
        if isinstance(resource.get("subject"), Mapping) and resource["subject"].get("reference")
    }
    if len(references) > 1:
        raise BadCall(f"The bundle's resources belong to {len(references)} patients. All must be of one. Split it.")
    return patients[0]


def _conditions(found: Iterable[Mapping[str, Any]], values: dict[str, Any], ignored: Counter[str]) -> str | None:
    """Diseases into `values`; answers the date of the cancer."""
    at = None
    for condition in found:
        if _status(condition, "verificationStatus") in ("refuted", "entered-in-error"):
            ignored["Condition refuted or entered in error"] += 1
            continue
        rule = _condition_rule(condition)
        if rule is None:
            ignored[f"Condition {_label(condition)}"] += 1
            continue
        before = values.get(rule["field"])
        if rule["field"] == "disease":
            if before is not None and before != rule["value"]:
                raise BadCall(f"The bundle holds both {before} and {rule['value']}. One disease is judged at a time.")
            at = condition.get("onsetDateTime") or condition.get("recordedDate") or at
        values[rule["field"]] = rule["value"]
    return at


def _condition_rule(condition: Mapping[str, Any]) -> Mapping[str, Any] | None:
    for system, code in _codings(condition):
        if system == "snomed" and code in codes()["condition_snomed"]:
            return dict(codes()["condition_snomed"][code])
        if "icd-10" in system:
            for prefix, rule in codes()["condition_icd10"].items():
                if code.startswith(prefix):
                    return dict(rule)
    return None


def _procedures(found: Iterable[Mapping[str, Any]], values: dict[str, Any], ignored: Counter[str]) -> None:
    for procedure in found:
        rules = [codes()["procedure_snomed"].get(code) for system, code in _codings(procedure) if system == "snomed"]
        rule = next((rule for rule in rules if rule), None)
        if rule is None or procedure.get("status") in ("not-done", "entered-in-error"):
            ignored[f"Procedure {_label(procedure)}"] += 1
        else:
            values[rule["field"]] = rule["value"]


def _observations(found: Iterable[Mapping[str, Any]], values: dict[str, Any], ignored: Counter[str]) -> None:
    for seen in sorted(found, key=lambda one: str(one.get("effectiveDateTime") or "")):
        loinc = next((code for system, code in _codings(seen) if system == "loinc"), "")
        numbers, stages, smoking = codes()["observation_number"], codes()["observation_stage"], codes()["smoking"]
        if seen.get("status") in ("entered-in-error", "cancelled"):
            ignored["Observation cancelled"] += 1
        elif loinc in numbers and isinstance(seen.get("valueQuantity") or seen.get("valueInteger"), (Mapping, int)):
            values[numbers[loinc]["field"]] = _quantity(seen, loinc, numbers[loinc])
        elif loinc in stages and (stage := _stage(seen)) is not None:
            values[stages[loinc]] = stage
        elif loinc == smoking["code"] and (level := _smoking(seen, smoking)):
            values["smoking"] = level
        else:
            ignored[f"Observation {loinc or _label(seen)}"] += 1


def _quantity(seen: Mapping[str, Any], loinc: str, rule: Mapping[str, Any]) -> float:
    quantity = seen.get("valueQuantity") or {"value": seen.get("valueInteger")}
    unit, value = str(quantity.get("code") or quantity.get("unit") or ""), quantity.get("value")
    if unit not in rule["units"]:
        raise BadCall(
            f"Observation {loinc} ({rule['field']}) is in '{unit[:30]}'. Allowed: {', '.join(map(repr, rule['units']))}. Convert it."
        )
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise BadCall(f"Observation {loinc} ({rule['field']}) is {str(value)[:30]!r}, no number. Correct or remove it.")
    return float(value) * float(rule["units"][unit])


def _stage(seen: Mapping[str, Any]) -> str | None:
    """The stage of "cT2a", "N1" or "Stage IIIB" as our fields write it; None for X and what we do not know."""
    concept = seen.get("valueCodeableConcept") or {}
    texts = [seen.get("valueString"), concept.get("text")]
    texts += [c.get(k) for c in concept.get("coding") or [] if isinstance(c, Mapping) for k in ("code", "display")]
    for text in texts:
        match = _STAGE.match(str(text or ""))
        if match and match.group(1).lower() not in ("x", "is"):
            stage = match.group(1)
            return (
                stage.lower()
                if stage[0].isdigit()
                else stage.upper().rstrip("AB") + stage[len(stage.rstrip("abAB")) :].lower()
            )
    return None


def _smoking(seen: Mapping[str, Any], levels: Mapping[str, str]) -> str | None:
    answers = (seen.get("valueCodeableConcept") or {}).get("coding") or []
    return next((levels[str(a.get("code"))] for a in answers if str(a.get("code")) in levels), None)


def _codings(resource: Mapping[str, Any]) -> list[tuple[str, str]]:
    coded = (resource.get("code") or {}).get("coding") or []
    return [
        (_SYSTEMS.get(str(c.get("system")), str(c.get("system")).lower()), str(c.get("code")))
        for c in coded
        if isinstance(c, Mapping)
    ]


def _label(resource: Mapping[str, Any]) -> str:
    """A code and nothing else: free text may name a person."""
    found = _codings(resource)
    return found[0][1][:20] if found else "without a code"


def _status(resource: Mapping[str, Any], name: str) -> str:
    coded = (resource.get(name) or {}).get("coding") or [{}]
    return str(coded[0].get("code"))


def _years(born: Any, at: Any) -> float | None:
    """Whole and broken years between two FHIR dates; None when one is missing or has no day."""
    try:
        start, end = date.fromisoformat(str(born)[:10]), date.fromisoformat(str(at)[:10])
    except ValueError:
        return None
    return round((end - start).days / 365.25, 2)
