"""Pictures of a scan with masks over it: sides marked, a ruler in mm, a legend, no guessing.

Views follow radiology: axial as seen from the feet (patient's right on the left of the
picture), coronal from the front, sagittal from the left side with the front on the left.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from .errors import BadCall
from .formats.raster import synthetic_text
from .geometry import reorient_array
from .hounsfield import unit_by_values
from .planes import PLANES, Plane, cut
from .volume import BoolArray, Mask, Volume

View = Literal["axial", "coronal", "sagittal", "montage"]
VIEWS = ("axial", "coronal", "sagittal", "montage")
# Window centre and width in HU. Source: usual presets of CT workstations.
WINDOWS_HU: dict[str, tuple[float, float]] = {
    "soft_tissue": (40, 400),
    "lung": (-600, 1500),
    "bone": (400, 1800),
    "brain": (40, 80),
    "liver": (80, 150),
}
# Okabe and Ito's colours first, told apart by colour-blind readers (black is left out); then lighter and darker ones.
COLOURS = (
    *((230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (213, 94, 0), (204, 121, 167), (0, 114, 178)),
    *((255, 152, 150), (148, 103, 189), (152, 223, 138), (23, 190, 207), (140, 86, 75), (199, 199, 199)),
    *((65, 105, 225), (188, 189, 34), (255, 20, 147), (174, 199, 232), (50, 205, 50), (255, 187, 120), (128, 0, 0)),
)
MAX_BYTES = 700_000
_FILL = 0.35
_MARGIN = 26  # pixels around a panel for letters and ticks
_LEGEND_LINE = 16


@dataclass(frozen=True)
class Rendering:
    """A PNG and what it shows.

    Attributes:
        slice_index: along the scan's RAS axis of the view; the middle panel's for a montage.
        window: centre and width used, in the image's unit.
    """

    png: bytes
    view: View
    slice_index: int
    slices: int
    window: tuple[float, float]
    size: tuple[int, int]


def render(
    volume: Volume,
    masks: Mapping[str, Mask],
    *,
    view: View = "axial",
    slice_index: int | None = None,
    window: str | tuple[float, float] = "auto",
    width: int = 512,
) -> Rendering:
    """Draw one slice, or three planes ("montage"), with every mask outlined and tinted.

    Args:
        masks: label for the legend -> mask on the scan's grid.
        slice_index: counted from the patient's left, back or feet; None shows most of the masks,
            each counted by the share of its own largest area.
        window: "auto", a name of `WINDOWS_HU` (CT only), or (centre, width).
        width: pixels of the widest panel.

    Raises:
        BadCall: unknown view or window, a slice outside the scan, or a mask of another image.
    """
    if view not in VIEWS:
        raise BadCall(f"Unknown view '{view}'. Allowed: {', '.join(VIEWS)}.")
    if not 64 <= width <= 2048:
        raise BadCall(f"A width of {width} pixels is not possible. Use 64 to 2048.")
    for name, mask in masks.items():
        if not mask.grid.same_as(volume.grid):
            raise BadCall(f"The mask '{name}' belongs to another image. Draw masks on their own image.")
    scan, grid = reorient_array(volume.array, volume.grid, "RAS")
    overlays = {name: reorient_array(mask.array, mask.grid, "RAS")[0] for name, mask in masks.items()}
    chosen = window_of(volume, window)
    spacing = grid.spacing_mm
    names = (
        ("axial", "coronal", "sagittal")
        if view == "montage" and min(scan.shape) > 1
        else (view if view != "montage" else "axial",)
    )
    drawn, shown = [], 0
    for name in names:
        plane = PLANES[name]
        index = _slice(overlays, plane.axis, scan.shape[plane.axis], slice_index if len(names) == 1 else None, name)
        shown = index if name == names[0] else shown
        drawn.append(
            _panel(scan, overlays, plane, index, chosen, spacing, width // len(names), volume.grid.spacing_known)
        )
    picture = _with_legend(drawn, list(masks), synthetic=volume.synthetic)
    png = _encoded(picture, synthetic=volume.synthetic)
    axis = PLANES[names[0]].axis
    return Rendering(png, view, shown, scan.shape[axis], chosen, picture.size)


def window_of(volume: Volume, window: str | tuple[float, float]) -> tuple[float, float]:
    """Centre and width in the image's unit.

    Raises:
        BadCall: an unknown preset, a preset on an image without Hounsfield units, or a width of 0.
    """
    if not isinstance(window, str):
        centre, width = window
        if not width > 0:
            raise BadCall(f"A window width of {width} is impossible. It must be above 0.")
        return float(centre), float(width)
    if window == "auto":
        if unit_by_values(volume) == "HU":
            return WINDOWS_HU["soft_tissue"]
        low, high = (float(v) for v in np.percentile(volume.array, (1, 99)))
        return (low + high) / 2, max(high - low, 1e-6)
    if window not in WINDOWS_HU:
        raise BadCall(f"Unknown window '{window}'. Allowed: auto, {', '.join(WINDOWS_HU)}, or centre and width.")
    if unit_by_values(volume) != "HU":
        what = "a CT that is not in HU" if volume.modality == "ct" else f"a {volume.modality} image"
        raise BadCall(f"The window '{window}' is in Hounsfield units, but this is {what}. Use auto.")
    return WINDOWS_HU[window]


def _slice(overlays: Mapping[str, BoolArray], axis: int, count: int, asked: int | None, view: str) -> int:
    if asked is not None:
        if not 0 <= asked < count:
            raise BadCall(f"Slice {asked} is outside the scan. The {view} view has slices 0 to {count - 1}.")
        return asked
    shown = np.zeros(count)
    for mask in overlays.values():
        areas = mask.sum(axis=tuple(a for a in range(3) if a != axis))
        shown += areas / max(1, areas.max())
    return int(shown.argmax()) if shown.any() else count // 2


def _panel(
    scan: npt.NDArray[np.generic],
    overlays: Mapping[str, BoolArray],
    plane: Plane,
    index: int,
    window: tuple[float, float],
    spacing: tuple[float, float, float],
    width: int,
    spacing_known: bool,
) -> Image.Image:
    centre, span = window
    grey = cut(scan, plane, index).astype(np.float32)
    grey = np.clip((grey - (centre - span / 2)) / span, 0, 1) * 255
    mm_across, mm_down = grey.shape[1] * spacing[plane.across], grey.shape[0] * spacing[plane.down]
    inner = max(48, width - 2 * _MARGIN)
    zoom = inner / max(mm_across, mm_down * 0.75)
    size = (max(8, round(mm_across * zoom)), max(8, round(mm_down * zoom)))
    picture = Image.fromarray(grey.astype(np.uint8)).resize(size, Image.Resampling.BILINEAR).convert("RGB")
    pixels = np.asarray(picture).astype(np.float32)
    for number, mask in enumerate(overlays.values()):
        flat = cut(mask, plane, index)
        soft = Image.fromarray((flat * 255).astype(np.uint8)).resize(size, Image.Resampling.BILINEAR)
        inside = np.asarray(soft) > 127
        pixels = _tinted(pixels, inside, COLOURS[number % len(COLOURS)])
    canvas = Image.new("RGB", (size[0] + 2 * _MARGIN, size[1] + 2 * _MARGIN), (0, 0, 0))
    canvas.paste(Image.fromarray(pixels.astype(np.uint8)), (_MARGIN, _MARGIN))
    _letters(canvas, plane)
    if spacing_known:
        _ruler(canvas, zoom, mm_across)
    return canvas


def _tinted(
    pixels: npt.NDArray[np.float32], inside: BoolArray, colour: tuple[int, int, int]
) -> npt.NDArray[np.float32]:
    tint = np.array(colour, dtype=np.float32)
    inner = inside.copy()
    inner[1:] &= inside[:-1]
    inner[:-1] &= inside[1:]
    inner[:, 1:] &= inside[:, :-1]
    inner[:, :-1] &= inside[:, 1:]
    result = pixels.copy()
    result[inner] = (1 - _FILL) * pixels[inner] + _FILL * tint
    result[inside & ~inner] = tint
    return result


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _letters(canvas: Image.Image, plane: Plane) -> None:
    draw, font = ImageDraw.Draw(canvas), _font(16)
    w, h = canvas.size
    spots = ((_MARGIN // 2, h // 2), (w - _MARGIN // 2, h // 2), (w // 2, _MARGIN // 2), (w // 2, h - _MARGIN // 2))
    for letter, spot in zip(plane.letters, spots, strict=True):
        draw.text(spot, letter, fill=(255, 255, 255), font=font, anchor="mm")


def _ruler(canvas: Image.Image, zoom: float, mm_across: float) -> None:
    """Ticks every 10 mm along the bottom (every 50 mm longer), up to the picture's end."""
    draw = ImageDraw.Draw(canvas)
    base = canvas.size[1] - _MARGIN
    step = 10 if mm_across <= 600 else 50
    for mm in range(0, int(mm_across) + 1, step):
        x = _MARGIN + round(mm * zoom)
        draw.line([(x, base), (x, base + (8 if mm % 50 == 0 else 4))], fill=(200, 200, 200))
    draw.text((_MARGIN, base + 17), f"{step} mm ticks", fill=(200, 200, 200), font=_font(10), anchor="lm")


def _with_legend(panels: list[Image.Image], names: list[str], *, synthetic: bool) -> Image.Image:
    width, height = sum(panel.size[0] for panel in panels), max(panel.size[1] for panel in panels)
    lines = [*names, *(["synthetic image"] if synthetic else [])]
    columns = max(1, width // 190)
    rows = -(-len(lines) // columns) if lines else 0
    canvas = Image.new("RGB", (width, height + rows * _LEGEND_LINE + (6 if rows else 0)), (0, 0, 0))
    x = 0
    for panel in panels:
        canvas.paste(panel, (x, (height - panel.size[1]) // 2))
        x += panel.size[0]
    draw = ImageDraw.Draw(canvas)
    for number, line in enumerate(lines):
        x, y = 8 + (number % columns) * 190, height + (number // columns) * _LEGEND_LINE
        if number < len(names):
            draw.rectangle([x, y + 3, x + 10, y + 12], fill=COLOURS[number % len(COLOURS)])
        draw.text((x + 15, y + 8), line[:30], fill=(255, 255, 255), font=_font(11), anchor="lm")
    return canvas


def _encoded(picture: Image.Image, *, synthetic: bool) -> bytes:
    """PNG of at most `MAX_BYTES`; larger ones are made smaller. Its text says when the image is synthetic."""
    while True:
        buffer = io.BytesIO()
        picture.save(buffer, "PNG", optimize=True, pnginfo=synthetic_text() if synthetic else None)
        if buffer.tell() <= MAX_BYTES or max(picture.size) < 128:
            return buffer.getvalue()
        picture = picture.resize((picture.size[0] * 3 // 4, picture.size[1] * 3 // 4), Image.Resampling.LANCZOS)
