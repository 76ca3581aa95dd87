"""Tables taken home: what a spreadsheet would run is text."""

import csv
import io

from ostensor.tools.cohorts.table import _csv


def test_a_text_that_begins_like_a_formula_is_no_formula() -> None:
    rows = [{"scan": "=cmd|' /C calc'!A0.nii.gz", "volume_ml": -1.5, "note": "-"}]
    (read,) = csv.DictReader(io.StringIO(_csv(["scan", "volume_ml", "note"], rows).decode()))  # type: ignore[arg-type]
    assert read == {"scan": "'=cmd|' /C calc'!A0.nii.gz", "volume_ml": "-1.5", "note": "'-"}
