"""A cohort's table as a file: CSV always, Parquet and Excel where their libraries are installed."""

from __future__ import annotations

import csv
import importlib.util
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

from ...imaging.errors import Unavailable
from ...imaging.guards.atomic import write_atomically
from .looking import Line

NEEDS = {"csv": "csv", "parquet": "pyarrow", "xlsx": "openpyxl"}  # format -> library
# The first columns, in this order; what is measured follows as it comes.
_FIRST = (
    "scan", "path", "image_id", "structure", "verdict", "flags", "volume_ml_score", "intensity_mean_score", "volume_ml",
    "volume_low_90_ml", "volume_high_90_ml", "volume_is", "truncated_at", "side", "confidence", "mask_id", "model",
)  # fmt: skip
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")  # what a workbook may not hold
_LAST = ("notes", "image_warnings", "error")


def installed_formats() -> tuple[str, ...]:
    """Formats that can be written here."""
    return tuple(name for name, library in NEEDS.items() if importlib.util.find_spec(library) is not None)


def check_formats(formats: Sequence[str]) -> None:
    """Refuse a format whose library is missing, before any work is done.

    Raises:
        Unavailable: one is.
    """
    here = installed_formats()
    for name in formats:
        if name not in here:
            raise Unavailable(
                f"Tables in '{name}' need the library {NEEDS[name]}, which is not installed. Run pip install "
                f"'ostensor[tables]', or leave the format out: {', '.join(here)} can be written."
            )


def write_tables(folder: Path, stem: str, lines: Sequence[Line], formats: Sequence[str]) -> list[str]:
    """Write the table in each format and answer the files' names."""
    columns = _columns(lines)
    rows = [{name: line.get(name) for name in columns} for line in lines]
    writers = {"csv": _csv, "parquet": _parquet, "xlsx": _xlsx}
    names = []
    for name in formats:
        content = writers[name](columns, rows)

        def fill(file: BinaryIO, content: bytes = content) -> None:
            file.write(content)

        write_atomically(folder / f"{stem}.{name}", fill)
        names.append(f"{stem}.{name}")
    return names


def _columns(lines: Sequence[Line]) -> list[str]:
    measured = dict.fromkeys(name for line in lines for name in line)
    return list(dict.fromkeys([*_FIRST, *(name for name in measured if name not in _LAST), *_LAST]))


def _plain(value: Any) -> Any:
    """A text that a spreadsheet does not take for a formula. Source: OWASP, CSV Injection."""
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value


def _csv(columns: list[str], rows: list[Line]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _plain(value) for name, value in row.items()} for row in rows)
    return text.getvalue().encode()


def _parquet(columns: list[str], rows: list[Line]) -> bytes:
    import pyarrow
    import pyarrow.parquet

    held = {name: [row[name] for row in rows] for name in columns}
    target = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(pyarrow.table(held), target)
    return bytes(target.getvalue().to_pybytes())


def _xlsx(columns: list[str], rows: list[Line]) -> bytes:
    import openpyxl

    book = openpyxl.Workbook(write_only=False)
    sheet = book.active
    sheet.title = "cohort"
    for at, row in enumerate([dict(zip(columns, columns, strict=True)), *rows], start=1):
        for column, name in enumerate(columns, start=1):
            value = row[name]
            cell = sheet.cell(
                row=at, column=column, value=_CONTROL.sub("?", value) if isinstance(value, str) else value
            )
            if isinstance(value, str):
                cell.data_type = "s"  # a name that begins with "=" is no formula
    sheet.freeze_panes = "D2"
    target = io.BytesIO()
    book.save(target)
    return target.getvalue()
