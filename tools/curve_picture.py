"""A survival curve against its cohort's, as PNG."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

from .prognosis_results import SurvivalPoint


def curve_png(
    points: Sequence[SurvivalPoint], cohort: Sequence[Mapping[str, float]], *, title: str, day_0: str
) -> bytes:
    """The patient's curve with its band over the Kaplan-Meier curve of the whole cohort."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2, 3.6), dpi=110)
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    days = [point.day for point in points]
    axes.step(
        [row["day"] for row in cohort],
        [row["probability"] for row in cohort],
        where="post",
        color="0.5",
        label="cohort",
    )
    axes.fill_between(days, [p.low for p in points], [p.high for p in points], alpha=0.25, color="#0072B2", linewidth=0)
    axes.plot(days, [p.probability for p in points], color="#0072B2", label="this patient")
    axes.set(xlabel=f"days after {day_0}", ylabel="share alive", ylim=(0, 1.02), xlim=(0, None))
    axes.set_title(title, fontsize=8)
    axes.legend(loc="lower left", fontsize=8)
    figure.tight_layout()
    buffer = io.BytesIO()
    canvas.print_png(buffer)
    return buffer.getvalue()
