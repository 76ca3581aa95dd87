"""One picture of a slice, or of what is brightest along a line of sight, with masks over it, letters and a ruler."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from ..volume import BoolArray
from .legend import COLOURS, font, write
from .planes import Plane

Style = Literal["both", "contour", "fill"]
MARGIN = 26  # pixels around a picture for letters and ticks
_FILL = 0.35


def panel(
    grey: npt.NDArray[np.generic],
    masks: Sequence[BoolArray],
    plane: Plane,
    *,
    window: tuple[float, float],
    pixel_mm: tuple[float, float],
    width: int,
    style: Style = "both",
    ruler: bool = True,
    note: str = "",
) -> Image.Image:
    """A picture (rows, columns) in the colours of masks of the same shape.

    Args:
        window: centre and width.
        pixel_mm: across and down.
        width: pixels of the whole panel.
        note: written into the upper left corner.
    """
    centre, span = window
    shown = np.clip((grey.astype(np.float32) - (centre - span / 2)) / span, 0, 1) * 255
    mm_across, mm_down = grey.shape[1] * pixel_mm[0], grey.shape[0] * pixel_mm[1]
    zoom = max(48, width - 2 * MARGIN) / max(mm_across, mm_down * 0.75)
    size = (max(8, round(mm_across * zoom)), max(8, round(mm_down * zoom)))
    picture = Image.fromarray(shown.astype(np.uint8)).resize(size, Image.Resampling.BILINEAR).convert("RGB")
    pixels = np.asarray(picture).astype(np.float32)
    for number, mask in enumerate(masks):
        soft = Image.fromarray((mask * 255).astype(np.uint8)).resize(size, Image.Resampling.BILINEAR)
        pixels = tinted(pixels, np.asarray(soft) > 127, COLOURS[number % len(COLOURS)], style)
    return framed(Image.fromarray(pixels.astype(np.uint8)), plane, zoom if ruler else None, mm_across, note)


def tinted(
    pixels: npt.NDArray[np.float32], inside: BoolArray, colour: tuple[int, int, int], style: Style
) -> npt.NDArray[np.float32]:
    """Pixels (rows, columns, 3) with the inside tinted, its border drawn, or both."""
    tint = np.array(colour, dtype=np.float32)
    inner = inside.copy()
    inner[1:] &= inside[:-1]
    inner[:-1] &= inside[1:]
    inner[:, 1:] &= inside[:, :-1]
    inner[:, :-1] &= inside[:, 1:]
    border = inside & ~inner
    result = pixels.copy()
    if style != "contour":
        filled = inside if style == "fill" else inner
        result[filled] = (1 - _FILL) * pixels[filled] + _FILL * tint
    if style != "fill":
        result[border] = tint
    return result


def framed(picture: Image.Image, plane: Plane, zoom: float | None, mm_across: float, note: str = "") -> Image.Image:
    """The picture in a black frame with the plane's letters, and a ruler where `zoom` (pixels per mm) is known."""
    canvas = Image.new("RGB", (picture.width + 2 * MARGIN, picture.height + 2 * MARGIN), (0, 0, 0))
    canvas.paste(picture, (MARGIN, MARGIN))
    draw, letters = ImageDraw.Draw(canvas), font(16)
    w, h = canvas.size
    spots = ((MARGIN // 2, h // 2), (w - MARGIN // 2, h // 2), (w // 2, MARGIN // 2), (w // 2, h - MARGIN // 2))
    for letter, spot in zip(plane.letters, spots, strict=True):
        draw.text(spot, letter, fill=(255, 255, 255), font=letters, anchor="mm")
    if note:
        write(draw, (6, 12), note, 11, (200, 200, 200))
    if zoom is not None:
        _ruler(draw, canvas.height - MARGIN, zoom, mm_across)
    return canvas


def _ruler(draw: ImageDraw.ImageDraw, base: int, zoom: float, mm_across: float) -> None:
    """Ticks every 10 mm along the bottom (every 50 mm longer), up to the picture's end."""
    step = 10 if mm_across <= 600 else 50
    for mm in range(0, int(mm_across) + 1, step):
        x = MARGIN + round(mm * zoom)
        draw.line([(x, base), (x, base + (8 if mm % 50 == 0 else 4))], fill=(200, 200, 200))
    write(draw, (MARGIN, base + 17), f"{step} mm ticks", 11, (200, 200, 200))
