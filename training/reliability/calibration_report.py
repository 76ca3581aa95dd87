"""Sections of `docs/uncertainty.md` about calibrations: how good expected Dice and intervals of sizes are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ...models.card import Card
from ...models.inference.calibration import calibration_of
from ..report_sections import write_section
from .calibrate import Quality


def write(name: str, found: Mapping[str, Quality], path: Path) -> None:
    """Put a model's table into the report, in place of its old one."""
    lines = ["| scan | masks | ECE before | after | Brier before | after | Spearman before | after |", f"|{'---|' * 8}"]
    for change, one in found.items():
        ranks = ["-" if value is None else f"{value:.2f}" for value in (one.spearman_raw, one.spearman)]
        lines.append(
            f"| {change} | {one.masks} | {one.ece_raw:.3f} | {one.ece:.3f} | {one.brier_raw:.3f} | {one.brier:.3f} | {ranks[0]} | {ranks[1]} |"
        )
    write_section(f"confidence of {name}", "\n".join(lines), path)


def write_sizes(entries: Sequence[Card], folder: Path, path: Path) -> None:
    """Put the table of how often true sizes lie in their intervals into the report, every calibrated model a row."""
    lines = [
        "| model | present masks it was checked on | patients | true size inside, % | median width, % of the size |"
    ]
    lines.append(f"|{'---|' * 5}")
    for entry in entries:
        found = calibration_of(entry, folder)
        if found is None or not found.spread:
            continue
        sizes = found.record["sizes"]
        lines.append(
            f"| {entry.name} | {sizes['masks']} | {found.record['reported_on']} | {100 * sizes['covered']:.1f} | {100 * sizes['width']:.0f} |"
        )
    write_section("intervals of sizes", "\n".join(lines), path)
