"""`ostensor bench scale`: how many workers a day of many people takes, and what the order of the line is worth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..machine import described
from .costs import Costs, measured
from .day import Day, Policy, Seen, Serving, simulate

POLICIES: tuple[Policy, ...] = ("first come", "ours")
SPARE = (1.6, 2.2, 3.0)  # times the workers that the busiest hour keeps busy
FEATURES_MB, WORKER_FEATURES_MB = (
    490,
    2000,
)  # of a scan of 512 x 512 x 300 in sat-mini-abdomen-2d, and a worker's budget
CARD_SPEEDUP = 40.0  # a card over one processor core, for the network's share; reckoned, see docs/scale.md


def run(
    *, day: Day | None = None, costs: Path | None = None, report: Callable[[float, str], None] = lambda s, w: None
) -> str:
    """Markdown: costs, then the simulated day.

    Args:
        costs: a file with costs measured before; written if it is not there.
    """
    day = day or Day()
    if costs is not None and costs.exists():
        known = Costs.read(costs)
    else:
        known = measured()
        if costs is not None:
            known.write(costs)
    parts = [_costs(known), "", _reckoned(known, day)]
    for title, serving, unit in (
        ("processor cores", Serving(known.first_s, known.further_s, WORKER_FEATURES_MB // FEATURES_MB), "core"),
        (
            f"cards, each {CARD_SPEEDUP:g} times a core (reckoned)",
            Serving(known.first_s / CARD_SPEEDUP, known.further_s / CARD_SPEEDUP, 80_000 // FEATURES_MB),
            "card",
        ),
    ):
        least = _least(day, serving)
        rows = []
        counts = sorted({max(1, int(np.ceil(least * spare))) for spare in SPARE})
        for number, workers in enumerate(counts):
            for policy in POLICIES:
                report(number / len(counts), f"{title}: {workers} workers, {policy}")
                rows.append(_row(workers, policy, simulate(day, serving, workers, policy)))
            roomy = replace(serving, kept=2 * serving.kept)
            rows.append(_row(workers, f"ours, {roomy.kept} scans kept", simulate(day, roomy, workers, "ours")))
        parts += ["", f"### {title.capitalize()}", "", *_table(rows, unit)]
    return "\n".join([*parts, "", f"{described()}."])


def _least(day: Day, serving: Serving) -> float:
    """Workers that the busiest hour keeps busy, each scan looked at once."""
    people, batched = day.scans * (1 - day.batch_share), day.scans * day.batch_share
    work = people * (serving.first_s + day.words * serving.further_s) * day.peak + batched * serving.first_s
    return float(work / 36_000)


def _costs(costs: Costs) -> str:
    rows = (
        ("reading a file", costs.open_s),
        ("first question", costs.first_s),
        ("another structure", costs.further_s),
        ("measuring a mask", costs.measure_s),
        ("exporting a mask", costs.export_s),
    )
    lines = ["| stage of a CT of 512 x 512 x 300 | processor s, one thread |", "|---|---|"]
    lines += [f"| {name} | {value:.2f} |" for name, value in rows]
    lines.append("")
    lines.append(
        f"The file has {costs.file_bytes / 1e6:.0f} MB, the image in the store {costs.image_bytes / 1e6:.0f} MB, a mask "
        f"{costs.mask_bytes / 1e3:.0f} kB."
    )
    return "\n".join(lines)


def _reckoned(costs: Costs, day: Day) -> str:
    masks = 1 + day.words
    kept = day.scans * (costs.image_bytes + masks * costs.mask_bytes)
    come = day.scans * costs.file_bytes
    beside = day.scans * (costs.open_s + masks * (costs.measure_s + costs.export_s))
    return (
        f"{day.users:,} people and {day.scans:,} scans a day, {day.batch_share:.0%} of them in {day.batches} batches, "
        f"{day.words} further questions about each of the others: {come / 1e12:.2f} TB come in ({come / 36_000 / 1e6:.0f} MB/s over ten hours, "
        f"{day.peak * come / 36_000 / 1e6:.0f} MB/s at the busiest), {kept / 1e12:.2f} TB a day are added to the store, and servers spend "
        f"{beside / 3600:.0f} core hours on reading, measuring and exporting ({day.peak * beside / 36_000:.1f} cores at the busiest)."
    )


def _row(workers: int, line: str, seen: Seen) -> list[str]:
    def waited(values: Sequence[float]) -> str:
        return " / ".join(f"{np.percentile(values, q):.1f}" for q in (50, 95, 99)) if values else "-"

    return [
        str(workers), line, waited(seen.first), waited(seen.further), waited(seen.batch), f"{seen.looks:,}",
        f"{seen.refused:,}", f"{seen.share_busy(workers):.0%}",
    ]  # fmt: skip


def _table(rows: Sequence[Sequence[str]], unit: str) -> list[str]:
    head = f"| {unit}s | line | first question, s (median / p95 / p99) | another structure | scan of a batch | looks | refused | busy |"
    return [head, "|---|---|---|---|---|---|---|---|", *("| " + " | ".join(row) + " |" for row in rows)]
