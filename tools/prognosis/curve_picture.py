"""A survival curve against its cohort's, as PNG; drawn by hand, because a plotting library costs more than the prediction."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

from PIL import Image, ImageDraw, ImageFont

from .results import SurvivalPoint

WIDTH, HEIGHT = 560, 380
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 14, 30, 48
_BLUE, _BAND, _GREY = (0, 114, 178), (196, 221, 238), (130, 130, 130)


def curve_png(
    points: Sequence[SurvivalPoint], cohort: Sequence[Mapping[str, float]], *, title: str, day_0: str
) -> bytes:
    """The patient's curve with its band over the Kaplan-Meier steps of the whole cohort."""
    last = max(points[-1].day, 1.0)
    picture = Image.new("RGB", (WIDTH, HEIGHT), "white")
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(12)

    def place(day: float, share: float) -> tuple[float, float]:
        x = _LEFT + (WIDTH - _LEFT - _RIGHT) * min(day, last) / last
        return x, HEIGHT - _BOTTOM - (HEIGHT - _TOP - _BOTTOM) * share

    band = [place(p.day, p.high) for p in points] + [place(p.day, p.low) for p in reversed(points)]
    draw.polygon(band, fill=_BAND)
    for tick in range(5):
        x, y = place(last * tick / 4, 0)[0], place(0, tick / 4)[1]
        draw.line([(_LEFT, y), (WIDTH - _RIGHT, y)], fill=(225, 225, 225))
        draw.text((x, HEIGHT - _BOTTOM + 4), f"{last * tick / 4:.0f}", fill="black", font=font, anchor="ma")
        draw.text((_LEFT - 6, y), f"{tick * 25} %", fill="black", font=font, anchor="rm")
    steps: list[tuple[float, float]] = []
    for row in cohort:
        x, y = place(row["day"], row["probability"])
        steps += [(x, steps[-1][1]), (x, y)] if steps else [(x, y)]
    draw.line(steps, fill=_GREY, width=2)
    draw.line([place(p.day, p.probability) for p in points], fill=_BLUE, width=3)
    draw.line([place(0, 1), place(0, 0), place(last, 0)], fill="black")
    draw.text((WIDTH / 2, 8), title, fill="black", font=font, anchor="ma")
    draw.text((WIDTH / 2, HEIGHT - 20), f"days after {day_0}", fill="black", font=font, anchor="ma")
    for n, (name, colour) in enumerate((("this patient, with interval", _BLUE), ("whole cohort", _GREY))):
        y = HEIGHT - _BOTTOM - 34 + 16 * n
        draw.line([(_LEFT + 8, y), (_LEFT + 30, y)], fill=colour, width=3)
        draw.text((_LEFT + 36, y), name, fill="black", font=font, anchor="lm")
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()
