"""Contact sheets: one tile per scan with its masks, numbered as in the table, framed where it needs a look."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from ...imaging.errors import OstensorError
from ...imaging.formats.raster import synthetic_text
from ...imaging.guards.atomic import write_atomically
from ...imaging.pictures.render import render
from ..desk.desk import Desk
from .looking import Line, Looked

_TILE, _TITLE, _FRAME = 240, 18, 3  # pixels
_COLUMNS, _ROWS = 6, 8
PER_SHEET = _COLUMNS * _ROWS
_MOST_MASKS = 12  # drawn in a tile
_PLAIN, _LOOK, _WHITE = (60, 60, 60), (213, 94, 0), (255, 255, 255)


def write_sheets(desk: Desk, folder: Path, stem: str, looked: Sequence[Looked], lines: Sequence[Line]) -> Iterator[str]:
    """Write the sheets, 48 scans each, and answer each file's name once it lies there.

    A tile is the axial slice that shows most of the masks. It bears the scan's number, never its name.
    """
    flags = {line["scan"]: line["flags"] for line in reversed(lines) if line["flags"]}
    for first in range(0, len(looked), PER_SHEET):
        page = looked[first : first + PER_SHEET]
        name = f"{stem}_sheet_{first // PER_SHEET + 1}.png"
        content = _sheet(desk, page, flags)
        write_atomically(folder / name, lambda file, content=content: file.write(content))  # type: ignore[misc]  # bound now
        yield name


def _sheet(desk: Desk, page: Sequence[Looked], flags: Mapping[int, str]) -> bytes:
    across = min(_COLUMNS, len(page))
    down = -(-len(page) // across)
    width, height = _TILE + 2 * _FRAME, _TILE + _TITLE + 2 * _FRAME
    canvas = Image.new("RGB", (across * width, down * height))
    synthetic = False
    for n, one in enumerate(page):
        tile, made_up = _tile(desk, one, flags.get(one.number, ""))
        synthetic |= made_up
        canvas.paste(tile, (n % across * width, n // across * height))
    target = io.BytesIO()
    canvas.save(target, "PNG", optimize=True, pnginfo=synthetic_text() if synthetic else None)
    return target.getvalue()


def _tile(desk: Desk, one: Looked, flags: str) -> tuple[Image.Image, bool]:
    """A framed picture, and whether its scan is synthetic."""
    frame = Image.new("RGB", (_TILE + 2 * _FRAME, _TILE + _TITLE + 2 * _FRAME), _LOOK if flags else _PLAIN)
    inner = Image.new("RGB", (_TILE, _TILE + _TITLE))
    picture, synthetic = _picture(desk, one)
    if picture is not None:
        picture.thumbnail((_TILE, _TILE))
        inner.paste(picture, ((_TILE - picture.size[0]) // 2, _TITLE + (_TILE - picture.size[1]) // 2))
    draw = ImageDraw.Draw(inner)
    title = f"scan {one.number}{f': {flags}' if flags else ''}{' (synthetic)' if synthetic else ''}"
    draw.text((4, 3), title[:40], fill=_WHITE, font=ImageFont.load_default(11))
    frame.paste(inner, (_FRAME, _FRAME))
    return frame, synthetic


def _picture(desk: Desk, one: Looked) -> tuple[Image.Image | None, bool]:
    if one.image_id is None:
        return None, False
    try:
        volume = desk.store.volume(one.image_id)
        drawn = [line for line in one.lines if line["mask_id"]][:_MOST_MASKS]
        masks = {line["structure"]: desk.store.mask(line["mask_id"]) for line in drawn}
        png = render(volume, masks, width=_TILE).png
    except OstensorError:  # removed meanwhile: the sheet has a gap, the table has the numbers
        return None, False
    return Image.open(io.BytesIO(png)).convert("RGB"), volume.synthetic
