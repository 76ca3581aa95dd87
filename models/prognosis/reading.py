"""A patient's record out of JSON, a CSV row, a cohort's own columns, or a FHIR R4 bundle. Torch-free."""

from __future__ import annotations

import csv
import io
import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from ...imaging.errors import BadCall
from .cohorts import __file__ as _cohorts_init
from .ehr import FIELDS, EhrRecord, Outcome, record_of
from .fhir import read_bundle

COHORTS = Path(_cohorts_init).parent
_NO_VALUE = ("", "na", "nan", "none", "null")
_MAX_TEXT = 2_000_000


@dataclass(frozen=True)
class Columns:
    """The column dictionary of a cohort, as its TOML file says it."""

    name: str
    title: str
    disease: str
    modalities: tuple[str, ...]
    origin: str
    licence: str
    source: str
    patient: str
    organs: tuple[str, ...]
    ignored: frozenset[str]
    columns: Mapping[str, Mapping[str, Any]] = field(hash=False)
    outcome: Mapping[str, Any] = field(hash=False)

    @property
    def all_names(self) -> set[str]:
        """Every column it has heard of."""
        return {*self.columns, *self.ignored, self.patient, self.outcome["days"], self.outcome["event"]}


@dataclass(frozen=True)
class ReadRecord:
    """A record, and what was found beside it.

    Attributes:
        form: "fields", "csv", "fhir" or the name of a column dictionary.
        ignored: columns, resources or codes that are known but not used.
    """

    record: EhrRecord
    form: str
    ignored: tuple[str, ...] = ()


@cache
def dictionaries() -> dict[str, Columns]:
    """Every column dictionary by its cohort's name."""
    found = {}
    for path in sorted(COHORTS.glob("*.toml")):
        values = tomllib.loads(path.read_text(encoding="utf-8"))
        if "columns" not in values:
            continue  # the code list of FHIR
        lists = {key: tuple(values[key]) for key in ("modalities", "organs")}
        made = Columns(**{**values, **lists, "ignored": frozenset(values["ignored"])})
        found[made.name] = made
    return found


def read_record(given: Mapping[str, Any] | str, cohort: str | None = None) -> ReadRecord:
    """The record in any of the accepted forms.

    Args:
        given: our fields, a cohort's own columns (nested or with dots), a FHIR R4 bundle; or text: JSON
            of these, or CSV of one heading line and one row.
        cohort: whose column dictionary to use when the keys are not ours; None finds it.

    Raises:
        BadCall: empty, several patients, unknown keys or impossible values; each by name.
    """
    from_csv = False
    if isinstance(given, str):
        given, from_csv = _parsed(given)
    if given.get("resourceType") is not None:
        values, ignored = read_bundle(given)
        return ReadRecord(record_of(values), "fhir", ignored)
    flat = flattened(given)
    native = _dictionary_of(flat, cohort)
    if native is not None:
        values, ignored = translated(flat, native)
        return ReadRecord(record_of(values), native.name, ignored)
    values = {name: _from_cell(value) for name, value in flat.items()} if from_csv else dict(given)
    return ReadRecord(record_of(values), "csv" if from_csv else "fields")


def translated(flat: Mapping[str, Any], native: Columns) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Our fields out of a cohort's own columns, and the names of those not used.

    Raises:
        BadCall: a value the dictionary does not know; a column it does not know.
    """
    unknown = sorted(set(flat) - native.all_names)
    if unknown:
        raise BadCall(
            f"Unknown columns {unknown[:5]} for the cohort '{native.name}'. Remove them, or correct the names."
        )
    values: dict[str, Any] = {"disease": native.disease}
    for column, rule in native.columns.items():
        if column not in flat:
            continue
        value = _value(column, flat[column], rule)
        target = rule["field"]
        if rule.get("any") and values.get(target) is not None and value is not None:
            value = values[target] or value
        values[target] = values.get(target) if value is None else value
    return values, tuple(sorted(set(flat) - set(native.columns)))


def outcome_of(flat: Mapping[str, Any], native: Columns) -> Outcome:
    """What became of a row's patient.

    Raises:
        BadCall: the time or the event is missing or impossible.
    """
    rule = native.outcome
    event = _key(flat.get(rule["event"]))
    if event not in (*rule["died"], *rule["alive"]):
        raise BadCall(f"'{rule['event']}' is {event!r}. Allowed: {', '.join([*rule['died'], *rule['alive']])}.")
    return Outcome.of(_from_cell(flat.get(rule["days"])), event in rule["died"])


def flattened(values: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Nested mappings under names with dots."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{before}{key}"
        if isinstance(value, Mapping):
            flat.update(flattened(value, f"{name}."))
        else:
            flat[name] = value
    return flat


def _parsed(text: str) -> tuple[Mapping[str, Any], bool]:
    """A mapping from JSON or CSV text, and whether it was CSV."""
    if len(text) > _MAX_TEXT:
        raise BadCall(f"The record is {len(text)} characters long. At most {_MAX_TEXT} are read. Give one patient.")
    if text.lstrip()[:1] in ("{", "["):
        try:
            values = json.loads(text)
        except json.JSONDecodeError as error:
            raise BadCall(f"The record is not JSON: {error.msg} in line {error.lineno}. Give JSON or CSV.") from None
        if not isinstance(values, dict):
            raise BadCall(f"The record is a list of {len(values)}. Give one patient, as an object.")
        return values, False
    rows = list(csv.DictReader(io.StringIO(text.strip())))
    if len(rows) != 1:
        raise BadCall(f"The CSV holds {len(rows)} patients. It must be a heading line and one row. Give one patient.")
    if None in rows[0] or None in rows[0].values():
        raise BadCall("The CSV row and its heading have different lengths. Give one cell per column.")
    return rows[0], True


def _dictionary_of(flat: Mapping[str, Any], cohort: str | None) -> Columns | None:
    if set(flat) <= {*FIELDS} or not flat:
        return None
    known = dictionaries()
    if cohort is not None and cohort in known and set(flat) & known[cohort].all_names:
        return known[cohort]
    fitting = [native for native in known.values() if set(flat) <= native.all_names]
    return fitting[0] if len(fitting) == 1 else None


def _value(column: str, given: Any, rule: Mapping[str, Any]) -> Any:
    """One cell translated; None when it says nothing."""
    if given is None or _key(given).lower() in _NO_VALUE:
        return None
    levels = rule.get("values")
    if levels is not None and _key(given) in levels:
        mapped = levels[_key(given)]
        return None if mapped == "" else mapped
    number = _from_cell(given)
    if levels is not None and (isinstance(number, (str, bool)) or set(map(type, levels.values())) == {str}):
        raise BadCall(f"'{column}' is {_key(given)[:40]!r}. Allowed: {', '.join(levels)}. Leave it out if not known.")
    return number


def _key(value: Any) -> str:
    """A cell as the dictionaries write it: 2.0 is '2'."""
    text = str(value).strip()
    return re.sub(r"^(-?\d+)\.0+$", r"\1", text)


def _from_cell(value: Any) -> Any:
    """A CSV cell as the value it writes; anything else stays."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    if text.lower() in _NO_VALUE:
        return None
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    return float(text) if re.fullmatch(r"-?\d+(\.\d+)?([eE][-+]?\d+)?", text) else text
