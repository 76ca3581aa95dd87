"""Panels put together: colours, a legend under them, and a PNG of bounded size."""

from __future__ import annotations

import io
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from ..formats.raster import synthetic_text

# Okabe and Ito's colours first, told apart by colour-blind readers (black is left out); then lighter and darker ones.
COLOURS = (
    *((230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (213, 94, 0), (204, 121, 167), (0, 114, 178)),
    *((255, 152, 150), (148, 103, 189), (152, 223, 138), (23, 190, 207), (140, 86, 75), (199, 199, 199)),
    *((65, 105, 225), (188, 189, 34), (255, 20, 147), (174, 199, 232), (50, 205, 50), (255, 187, 120), (128, 0, 0)),
)
MAX_BYTES = 700_000
_LINE = 18
_COLUMN = 200
_LONGEST = 30  # letters of a name
_SPACE = 0.3  # of the font's size: the default font's own is hardly seen


def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The font of every picture."""
    return ImageFont.load_default(size)


def write(
    draw: ImageDraw.ImageDraw,
    at: tuple[float, float],
    text: str,
    size: int,
    fill: tuple[int, int, int] = (255, 255, 255),
) -> None:
    """Text from its left middle, with spaces one can see."""
    x, y = at
    letters = font(size)
    for word in text.split(" "):
        draw.text((x, y), word, fill=fill, font=letters, anchor="lm")
        x += draw.textlength(word, font=letters) + _SPACE * size


def put_together(
    panels: Sequence[Image.Image], names: Sequence[str], *, columns: int, notes: Sequence[str] = ()
) -> Image.Image:
    """Panels in rows of `columns`, and under them a legend of names, in the order of `COLOURS`, and notes."""
    rows = _rows(panels, columns)
    width = max(sum(panel.width for panel in row) for row in rows)
    heights = [max(panel.height for panel in row) for row in rows]
    lines = [*names, *notes]
    across = max(1, width // _COLUMN)
    under = -(-len(lines) // across) * _LINE + 6 if lines else 0
    canvas = Image.new("RGB", (width, sum(heights) + under), (0, 0, 0))
    for panel, place in zip(panels, corners(panels, columns=columns), strict=True):
        canvas.paste(panel, place)
    top = sum(heights)
    draw = ImageDraw.Draw(canvas)
    for number, line in enumerate(lines):
        x, y = 8 + (number % across) * _COLUMN, top + (number // across) * _LINE
        if number < len(names):
            draw.rectangle([x, y + 4, x + 10, y + 13], fill=COLOURS[number % len(COLOURS)])
        write(draw, (x + 16, y + 9), line[:_LONGEST], 12)
    return canvas


def corners(panels: Sequence[Image.Image], *, columns: int) -> list[tuple[int, int]]:
    """Where `put_together` lays each panel: its left and its top, in pixels."""
    found, top = [], 0
    for row in _rows(panels, columns):
        height, left = max(panel.height for panel in row), 0
        for panel in row:
            found.append((left, top + (height - panel.height) // 2))
            left += panel.width
        top += height
    return found


def _rows(panels: Sequence[Image.Image], columns: int) -> list[Sequence[Image.Image]]:
    return [panels[first : first + columns] for first in range(0, len(panels), columns)]


def encoded(picture: Image.Image, *, synthetic: bool) -> bytes:
    """PNG of at most `MAX_BYTES`; larger ones are made smaller. Its text says when the image is synthetic."""
    while True:
        buffer = io.BytesIO()
        picture.save(buffer, "PNG", optimize=True, pnginfo=synthetic_text() if synthetic else None)
        if buffer.tell() <= MAX_BYTES or max(picture.size) < 128:
            return buffer.getvalue()
        picture = picture.resize((picture.width * 3 // 4, picture.height * 3 // 4), Image.Resampling.LANCZOS)
