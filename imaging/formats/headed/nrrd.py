"""The header of an NRRD: fields and key:=value pairs, one a line, ended by an empty line; and writing such files.

Source: the NRRD format (https://teem.sourceforge.net/nrrd/format.html, sections 2 to 5) and, for the space of the axes,
InsightSoftwareConsortium/ITK `Modules/IO/NRRD/src/itkNrrdImageIO.cxx` (Apache-2.0).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from isal import igzip

from ...errors import BadCall
from ...guards.atomic import write_atomically
from ...volume import Grid
from .layout import HEADER_BYTES, Layout, Packing, beside, damaged, header_lines, numbers, whole

SYNTHETIC_KEY = "ostensor_synthetic"
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_MAGIC = re.compile(r"NRRD000[1-6]")
_NAMES = """content number type blocksize dimension spacedimension space sizes spacings thicknesses axismins axismaxs centers
    centerings labels units min max oldmin oldmax endian encoding lineskip byteskip kinds sampleunits spaceunits
    spaceorigin spacedirections measurementframe datafile"""
_FIELDS = frozenset(_NAMES.split())  # without their blanks
_TYPES = {
    **dict.fromkeys(("signed char", "int8", "int8_t"), "i1"), **dict.fromkeys(("uchar", "unsigned char", "uint8", "uint8_t"), "u1"),
    **dict.fromkeys(("short", "short int", "signed short", "signed short int", "int16", "int16_t"), "i2"),
    **dict.fromkeys(("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"), "u2"),
    **dict.fromkeys(("int", "signed int", "int32", "int32_t"), "i4"), **dict.fromkeys(("uint", "unsigned int", "uint32", "uint32_t"), "u4"),
    **dict.fromkeys(("longlong", "long long", "long long int", "signed long long", "signed long long int", "int64", "int64_t"), "i8"),
    **dict.fromkeys(("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"), "u8"),
    "float": "f4", "double": "f8",
}  # fmt: skip
_PACKINGS: dict[str, Packing] = {
    "raw": "plain", "gzip": "deflated", "gz": "deflated", "txt": "text", "text": "text", "ascii": "text",
}  # fmt: skip
_GREY_KINDS = ("domain", "space", "none", "???", "scalar", "stub")
# Spaces whose axes are named after the patient, and the signs that turn them to LPS.
_SPACES = {
    "right-anterior-superior": (-1, -1, 1), "ras": (-1, -1, 1), "left-anterior-superior": (1, -1, 1), "las": (1, -1, 1),
    "left-posterior-superior": (1, 1, 1), "lps": (1, 1, 1),
}  # fmt: skip
_OTHER_SPACES = ("scanner-xyz", "3d-right-handed", "3d-left-handed")
_MM = {"mm": 1.0, "millimeter": 1.0, "millimeters": 1.0, "cm": 10.0, "m": 1000.0, "meter": 1000.0, "um": 1e-3, "μm": 1e-3,
       "µm": 1e-3, "micron": 1e-3, "microns": 1e-3, "nm": 1e-6}  # fmt: skip


def nrrd_layout(head: bytes, file_name: str) -> Layout:
    """What a header says.

    Args:
        head: the first bytes of the file, at least the header when it has at most `HEADER_BYTES`.

    Raises:
        BadCall: unknown, doubled or missing fields, control characters, a header that is too long, colour.
    """
    fields, keys, end = _fields(head, file_name)
    dimensions = whole(file_name, "dimension", fields.get("dimension", ""), least=1, most=16)
    sizes = [whole(file_name, "sizes", n, least=1) for n in fields.get("sizes", "").split()]
    if len(sizes) != dimensions:
        raise damaged(file_name, f"sizes has {len(sizes)} numbers where dimension says {dimensions}")
    kinds = fields.get("kinds", " ".join(["???"] * dimensions)).lower().split()
    if len(kinds) != dimensions:
        raise damaged(file_name, "kinds and dimension do not agree")
    if any(kind not in (*_GREY_KINDS, "time", "list") and n > 1 for kind, n in zip(kinds, sizes, strict=True)):
        raise damaged(file_name, "it holds colour or vector voxels, and one grey value per voxel is needed")
    kind, packing = _TYPES.get(fields.get("type", "").lower()), _PACKINGS.get(fields.get("encoding", "").lower())
    if kind is None or packing is None:
        raise damaged(file_name, "its type is none of a grey image, or its encoding none of raw, gzip and text")
    endian = fields.get("endian", "" if kind[1] != "1" and packing != "text" else "little").lower()
    if endian not in ("little", "big"):
        raise damaged(file_name, "endian is neither little nor big")
    skip = whole(file_name, "byte skip", fields.get("byteskip", "0"), least=0 if packing != "plain" else -1)
    data_file = beside(file_name, file_name, fields["datafile"]) if "datafile" in fields else ""
    lines = whole(file_name, "line skip", fields.get("lineskip", "0"), least=0, most=100_000)
    return Layout(
        tuple(sizes),
        np.dtype({"little": "<", "big": ">"}[endian] + kind),
        *_place(fields, file_name, dimensions),
        packing=packing,
        data_file=data_file,
        start=-1 if skip < 0 else 0 if data_file else end,
        skip_lines=lines,
        skip_bytes=max(0, skip),
        synthetic=SYNTHETIC_KEY in keys,
    )


def nrrd_keys(head: bytes, file_name: str) -> dict[str, str]:
    """The key:=value pairs of a header; the first of a doubled key counts.

    Raises:
        BadCall: as `nrrd_layout`.
    """
    return _fields(head, file_name)[1]


def _fields(head: bytes, name: str) -> tuple[dict[str, str], dict[str, str], int]:
    """Fields, the key:=value pairs, and the byte where attached voxels begin."""
    text, end, _ = _split(head)
    if end > HEADER_BYTES or (end == len(head) and end >= HEADER_BYTES):
        raise damaged(name, f"its header does not end within {HEADER_BYTES // 1024} KiB")
    magic, *lines = header_lines(text, name)
    if not _MAGIC.fullmatch(magic):
        raise damaged(name, "it does not begin as an NRRD")
    fields: dict[str, str] = {}
    keys: dict[str, str] = {}
    for line in lines:
        if line.startswith("#") or not line:
            continue
        met = re.match(r"([^:]+)(: |:=)(.*)", line)
        if met is None or met[1] != met[1].strip():
            raise damaged(name, "a line of its header is neither 'field: value' nor 'key:=value'")
        if met[2] == ":=":
            keys.setdefault(met[1], met[3])
            continue
        field = met[1].lower().replace(" ", "")
        if field not in _FIELDS or field in fields:
            raise damaged(name, "its header says a field twice, or one the format does not have")
        fields[field] = met[3].strip(" \t")
    return fields, keys, end


def _split(head: bytes) -> tuple[bytes, int, bytes]:
    """The header, where it ends, and the empty line that ended it."""
    found = re.search(rb"\r?\n\r?\n", head)
    return (head[: found.start()], found.end(), found[0]) if found else (head.rstrip(b"\r\n"), len(head), b"")


def _place(fields: dict[str, str], name: str, count: int) -> tuple[np.ndarray, np.ndarray, bool, bool, float]:
    """Directions, origin, whether spacing and orientation are said, and the unit."""
    space = fields.get("space", "").lower()
    if space and space not in (*_SPACES, *_OTHER_SPACES):
        raise damaged(name, "its space is none with three axes")
    dimension = (
        3 if space else whole(name, "space dimension", fields.get("spacedimension", str(count)), least=1, most=16)
    )
    signs = np.array(_SPACES.get(space, (1,) * dimension), dtype=np.float64)
    directions = _vectors(fields.get("spacedirections", ""), name, dimension)
    if directions and len(directions) != count:
        raise damaged(name, "space directions and dimension do not agree")
    steps, said = np.eye(count), False
    if directions:
        for axis, vector in enumerate(directions):
            if vector is not None and np.isfinite(vector).all() and any(vector):
                steps[:, axis] = 0
                steps[: min(count, dimension), axis] = (signs * vector)[:count]
        sized = [v for v in directions if v is not None and np.isfinite(v).all() and any(v)]
        said = len(sized) >= 3
    elif "spacings" in fields:
        given = np.array(numbers(name, "spacings", fields["spacings"].replace("none", "nan"), count))
        steps = np.diag(np.where(np.isfinite(given) & (given != 0), given, 1.0))
        said = int((np.isfinite(given) & (given != 0)).sum()) >= 3
    origin = np.zeros(count)
    if "spaceorigin" in fields:
        (vector,) = _vectors(fields["spaceorigin"], name, dimension) or [None]
        if vector is not None and np.isfinite(vector).all():
            origin[: min(count, dimension)] = (signs * vector)[:count]
    scale = _unit(fields.get("spaceunits" if directions else "units", ""))
    return steps, origin, said and scale is not None, bool(directions) and said and space in _SPACES, scale or 1.0


def _vectors(text: str, name: str, dimension: int) -> list[list[float] | None]:
    """Vectors in parentheses, None for "none"."""
    found: list[list[float] | None] = []
    rest = text.strip()
    while rest:
        met = re.match(r"none|\(([^()]*)\)", rest)
        if met is None:
            raise damaged(name, "a vector of its header is not written as (x,y,z)")
        inside = met[1]
        found.append(None if inside is None else numbers(name, "a vector", inside.replace(",", " "), dimension))
        rest = rest[met.end() :].strip()
    return found


def _unit(text: str) -> float | None:
    """mm of the unit; None for one that is no length, or for several."""
    words = {word.lower() for word in re.findall(r'"([^"]*)"', text)} - {"", "s", "ms", "none", "???"}
    scales = {_MM.get(word) for word in words} or {1.0}
    return scales.pop() if len(scales) == 1 else None


def write_nrrd(path: Path, array: npt.NDArray[Any], grid: Grid, *, synthetic: bool = False) -> None:
    """Write `.nrrd` in one piece, compressed; booleans become 0 and 1. A size nobody knows is not written.

    Raises:
        BadCall: the grid is sheared, which programs that read NRRD through ITK cannot take.
    """
    affine = _LPS_TO_RAS @ grid.affine
    units = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    if not np.allclose(units.T @ units, np.eye(3), atol=1e-4):
        raise BadCall("The grid is sheared, which NRRD as written here cannot hold. Export as nifti.")
    values = array.astype(np.uint8) if array.dtype == np.bool_ else np.asarray(array)
    if values.dtype == np.float16:
        values = values.astype(np.float32)
    kind = {"i": "int", "u": "uint", "f": "float"}[values.dtype.kind] + str(8 * values.dtype.itemsize)
    lines = ["NRRD0005", f"type: { {'float32': 'float', 'float64': 'double'}.get(kind, kind) }", "dimension: 3"]
    lines += ["sizes: " + " ".join(map(str, values.shape)), "endian: little", "encoding: gzip"]
    if grid.volume_known:
        vectors = ["(" + ",".join(repr(float(n)) for n in column) + ")" for column in affine[:3].T]
        lines += ["space: left-posterior-superior", "kinds: domain domain domain"]
        lines += ["space directions: " + " ".join(vectors[:3]), "space origin: " + vectors[3]]
    lines += [f"{SYNTHETIC_KEY}:=true"] if synthetic else []
    lines += ["ostensor_voxel_size:=stated by the user"] if grid.stated else []
    body = igzip.compress(values.astype(values.dtype.newbyteorder("<")).tobytes(order="F"), 1)
    write_atomically(path, lambda file: file.write("\n".join([*lines, "", ""]).encode() + body))
