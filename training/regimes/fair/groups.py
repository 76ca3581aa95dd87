"""Which group a patient is of, as a table says it. Torch-free.

A group is never guessed from a scan, and no group of a single patient is written anywhere.
"""

from __future__ import annotations

import csv
import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path

from ....imaging.errors import BadCall

PATIENT = "patient"
"""Column that holds the patients, as `Case.patient` names them."""
UNKNOWN = -1
"""Number of the group of patients of whom the table says nothing; FairSeg's code."""


def read_groups(table: Path, column: str) -> dict[str, str]:
    """Patient -> group, of everyone with an entry in this column of a CSV file.

    Raises:
        BadCall: no such file or column, or a patient of two groups.
    """
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            rows, columns = list(reader), list(reader.fieldnames or ())
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadCall(f"The table '{table.name}' cannot be read. Give a CSV file in UTF-8.") from error
    for wanted in (PATIENT, column):
        if wanted not in columns:
            near = difflib.get_close_matches(wanted, columns, n=1, cutoff=0.0) or ["none"]
            raise BadCall(
                f"The table '{table.name}' has no column '{wanted}'. Closest: '{near[0]}'. "
                f"It needs '{PATIENT}' and one column for the groups."
            )
    found: dict[str, str] = {}
    for row in rows:
        patient, group = (row[PATIENT] or "").strip(), (row[column] or "").strip()
        if not group:
            continue
        if found.setdefault(patient, group) != group:
            raise BadCall(
                f"The table '{table.name}' puts a patient in two groups of '{column}'. Keep one row for each."
            )
    return found


def number_groups(groups: Mapping[str, str], patients: Iterable[str]) -> dict[str, int]:
    """Patient -> number of the group, groups in the order of their names; `UNKNOWN` for who is in none.

    Raises:
        BadCall: the patients are of fewer than two groups.
    """
    patients = list(patients)
    names = sorted({groups[one] for one in patients if one in groups})
    if len(names) < 2:
        raise BadCall(
            f"The patients are of {len(names)} known groups. Two or more are needed; the table's column '{PATIENT}' "
            "must name them as the data set does."
        )
    return {one: names.index(groups[one]) if one in groups else UNKNOWN for one in patients}
