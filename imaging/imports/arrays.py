"""Label maps as arrays: NIfTI, NRRD, MetaImage, MGZ and pictures, with the names they or their neighbours tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ..errors import BadCall
from ..formats.headed.layers import Layers, read_layers
from ..formats.raster import read_raster
from ..formats.table import NO_ORIENTATION, UNSURE_SIDES, Raw, format_of, loaded
from ..guards.doors import Door
from ..volume import Grid
from .labels import FRACTIONS, LabelFile, Labels, Piece, Whole, as_labels, hash_of, numbers_in
from .name_tables import Names, names_of

PICTURES = ("png", "tiff")
_PLAIN = (1, 255)  # what one structure is written as


def read_array_labels(path: Path, door: Door) -> LabelFile:
    """The label map in one file.

    Raises:
        BadCall: as opening it as an image, or its values are no labels.
    """
    row = format_of(path.name)
    assert row is not None
    if row.name == "jpeg":
        raise BadCall(f"'{path.name}' is a JPEG, whose loss blurs labels. Labels must be exact. Save it as PNG.")
    if row.name in ("nrrd", "nhdr"):
        return _of_layers(path, read_layers(path, door), door)
    raw: Raw = read_raster(path, door, indices=True) if row.name in PICTURES else loaded(row.read)(path, door)
    whole = as_labels(raw.array, path.name)
    names, told = names_of(path, door, row.name)
    notes = [told] if told and whole.labels.any() else []
    if row.name not in PICTURES:
        notes += [warning for warning in raw.warnings if UNSURE_SIDES in warning]
    if raw.synthetic:
        notes.append("The file says that it belongs to a synthetic image.")
    return LabelFile(
        kind=row.name,
        grid=raw.grid,
        pieces=_with_fractions(_pieces(whole.labels, path.name, names, 0), whole, raw.grid),
        read_layer=lambda number: whole.labels,
        sha256=hash_of(path, door),
        notes=tuple(notes),
        by_index=row.name in PICTURES,
    )


def _with_fractions(pieces: Sequence[Piece], whole: Whole, grid: Grid) -> tuple[Piece, ...]:
    """Pieces that say what cutting fractions took and gave."""
    if whole.fractions is None:
        return tuple(pieces)
    before = whole.fractions * grid.voxel_ml if grid.spacing_known else None
    return tuple(replace(piece, exact=False, before_ml=before, notes=(FRACTIONS,)) for piece in pieces)


def _pieces(labels: Labels, name: str, names: Names, layer: int) -> tuple[Piece, ...]:
    """Every number of a layer, and every region of several numbers that has a name."""
    there = numbers_in(labels, name)
    single = [Piece(str(n), _named(names, (n,)), layer, (n,)) for n in there]
    regions = [values for values in names if len(values) > 1]
    covered = {n for values in regions for n in values}
    found = [piece for piece in single if piece.names or piece.values[0] not in covered]
    found += [Piece(names[r], (names[r],), layer, tuple(r)) for r in regions if set(r) & set(there)]
    return tuple(found)


def _named(names: Names, values: tuple[int, ...]) -> tuple[str, ...]:
    return (names[values],) if values in names else ()


def _of_layers(path: Path, found: Layers, door: Door) -> LabelFile:
    """Segments of a `.seg.nrrd`; without segments in the header it is a plain label map."""
    wholes = [as_labels(array, path.name) for array in found.array]
    layers = [whole.labels for whole in wholes]
    notes = [] if found.oriented else [NO_ORIENTATION]
    if found.segments:
        pieces: Sequence[Piece] = [
            Piece(str(n), (one.name,) if one.name else (), one.layer, (one.value,))
            for n, one in enumerate(found.segments, start=1)
        ]
        pieces = [*pieces, *_unlisted(layers, found, path.name)]
    elif len(layers) == 1:
        names, told = names_of(path, door, "nrrd")
        pieces = _with_fractions(_pieces(layers[0], path.name, names, 0), wholes[0], found.grid)
        notes += [told] if told else []
    else:
        pieces = [
            Piece(f"{layer}.{n}", (), layer, (n,))
            for layer, labels in enumerate(layers)
            for n in numbers_in(labels, path.name)
        ]
    return LabelFile(
        kind="seg.nrrd" if found.segments else "nrrd",
        grid=found.grid,
        pieces=tuple(pieces),
        read_layer=lambda number: layers[number],
        sha256=hash_of(path, door),
        notes=tuple(notes),
        is_crop=bool(found.segments),
    )


def _unlisted(layers: Sequence[Labels], found: Layers, name: str) -> list[Piece]:
    """Numbers in the voxels that no segment of the header is about."""
    listed = {(one.layer, one.value) for one in found.segments}
    return [
        Piece(f"{layer}.{n}", (), layer, (n,))
        for layer, labels in enumerate(layers)
        for n in numbers_in(labels, name)
        if (layer, n) not in listed
    ]


def is_plain(file: LabelFile) -> bool:
    """Whether a file holds one structure and calls it nothing, so that its own name may say what it is."""
    return len(file.pieces) == 1 and not file.pieces[0].names and file.pieces[0].values[0] in _PLAIN
