"""The header of a MetaImage (.mha, .mhd): keys, one a line, ended by ElementDataFile.

Source: MetaIO's tag reference (https://itk.org/Wiki/ITK/MetaIO/Documentation) and Kitware/MetaIO `src/metaImage.cxx`,
`src/metaObject.cxx` (BSD-3-Clause): keys are spelt exactly, a sign is "=" or ":", MET_LONG has four bytes.
"""

from __future__ import annotations

import re

import numpy as np

from .layout import HEADER_BYTES, Layout, Packing, beside, damaged, elsewhere, header_lines, numbers, whole

_TYPES = {
    "MET_CHAR": "i1", "MET_ASCII_CHAR": "i1", "MET_UCHAR": "u1", "MET_SHORT": "i2", "MET_USHORT": "u2", "MET_INT": "i4",
    "MET_UINT": "u4", "MET_LONG": "i4", "MET_ULONG": "u4", "MET_LONG_LONG": "i8", "MET_ULONG_LONG": "u8",
    "MET_FLOAT": "f4", "MET_DOUBLE": "f8",
}  # fmt: skip
_LAST = "ElementDataFile"
_NAMES = """Comment AcquisitionDate ObjectType ObjectTypeName ObjectSubType ObjectSubTypeName TransformType NDims Name ID
    ParentID Color BinaryData BinaryDataByteOrderMSB ElementByteOrderMSB CompressedData CompressedDataSize
    CompressionLevel Position Origin Offset TransformMatrix Rotation Orientation CenterOfRotation DistanceUnits
    AnatomicalOrientation ElementSpacing DimSize HeaderSize Modality ImagePosition SequenceID ElementMin ElementMax
    ElementNumberOfChannels ElementSize ElementNBits ElementToIntensityFunctionSlope ElementToIntensityFunctionOffset
    ElementType ElementDataFile"""
_KEYS = frozenset(_NAMES.split())
# What ITK adds of its own and copies from DICOM, and our own mark; nothing is read from the first two.
_COPIED = re.compile(r"ITK_[A-Za-z0-9_]{1,60}|[0-9a-fA-F]{4}\|[0-9a-fA-F]{4}|ostensor_synthetic")
_LINE = re.compile(r"([A-Za-z0-9_|]{1,64})[ \t]*[=:][ \t]*(.*?)[ \t]*")
_MM = {"mm": 1.0, "?": 1.0, "": 1.0, "um": 1e-3, "cm": 10.0}


def metaimage_layout(head: bytes, file_name: str) -> Layout:
    """What a header says.

    Args:
        head: the first bytes of the file, at least the header when it has at most `HEADER_BYTES`.

    Raises:
        BadCall: unknown, doubled or missing keys, control characters, a header that is too long, colour.
    """
    fields, end = _fields(head, file_name)
    dimensions = whole(file_name, "NDims", fields.get("NDims", ""), least=2, most=4)
    shape = tuple(whole(file_name, "DimSize", n, least=1) for n in fields.get("DimSize", "").split())
    if len(shape) != dimensions:
        raise damaged(file_name, f"DimSize has {len(shape)} numbers where NDims says {dimensions}")
    if fields.get("ObjectType", "Image") != "Image":
        raise damaged(file_name, "it holds no image")
    if whole(file_name, "ElementNumberOfChannels", fields.get("ElementNumberOfChannels", "1"), least=1) > 1:
        raise damaged(file_name, "it holds colour or vector voxels, and one grey value per voxel is needed")
    kind = fields.get("ElementType", "")
    if kind not in _TYPES:
        raise damaged(file_name, "its ElementType is none of a grey image")
    order = ">" if _said(fields, file_name, "BinaryDataByteOrderMSB", "ElementByteOrderMSB") else "<"
    for key, plain in (("ElementToIntensityFunctionSlope", 1.0), ("ElementToIntensityFunctionOffset", 0.0)):
        if numbers(file_name, key, fields.get(key, str(plain)), 1) != [plain]:
            raise damaged(file_name, "its values are to be rescaled, which is not done here; store them rescaled")
    local = fields[_LAST] in ("LOCAL", "Local", "local")
    data_file = "" if local else beside(file_name, file_name, fields[_LAST])
    start = whole(file_name, "HeaderSize", fields.get("HeaderSize", "0"), least=-1)
    if local and start:
        raise damaged(file_name, "HeaderSize speaks of another file")
    return Layout(
        shape,
        np.dtype(order + _TYPES[kind]),
        *_place(fields, file_name, dimensions),
        packing=_packing(fields, file_name),
        data_file=data_file,
        start=end if local else start,
        synthetic="ostensor_synthetic" in fields,
    )


def _fields(head: bytes, name: str) -> tuple[dict[str, str], int]:
    """The keys and their values, and the byte after the line of ElementDataFile."""
    found: dict[str, str] = {}
    place = 0
    while _LAST not in found:
        end = head.find(b"\n", place, HEADER_BYTES)
        if end < 0 and len(head) >= HEADER_BYTES:
            raise damaged(name, f"its header does not end within {HEADER_BYTES // 1024} KiB")
        stop = len(head) if end < 0 else end
        (line,) = header_lines(head[place:stop].removesuffix(b"\r"), name)
        met = _LINE.fullmatch(line)
        if met is None or not (met[1] in _KEYS or _COPIED.fullmatch(met[1])):
            if place == len(head) or end < 0:
                raise damaged(name, "its header names no data")
            raise damaged(name, "a line of its header is no 'Key = Value' with a key of the format")
        if met[1] in found:
            raise damaged(name, f"its header says {met[1]} twice")
        found[met[1]] = met[2]
        place = stop + 1
    if not found[_LAST]:
        raise elsewhere(name)
    return found, place


def _said(fields: dict[str, str], name: str, *keys: str) -> bool:
    """A yes or no, under one of several keys that must agree."""
    values = {fields[key].lower() for key in keys if key in fields}
    if not values <= {"true", "false", "1", "0"} or len(values) > 1:
        raise damaged(name, f"{keys[0]} is neither True nor False")
    return bool(values & {"true", "1"})


def _packing(fields: dict[str, str], name: str) -> Packing:
    if "BinaryData" in fields and not _said(fields, name, "BinaryData"):
        return "text"
    return "deflated" if _said(fields, name, "CompressedData") else "plain"


def _place(fields: dict[str, str], name: str, count: int) -> tuple[np.ndarray, np.ndarray, bool, bool, float]:
    """Directions, origin, whether spacing and orientation are said, and the unit."""
    # "RAI" is what ITK calls axes that run along LPS, its own default.
    turned, matrix = fields.get("AnatomicalOrientation", "").upper() == "RAI", np.eye(count)
    for key in ("TransformMatrix", "Rotation", "Orientation"):
        if key in fields:
            rows = np.array(numbers(name, key, fields[key], count * count)).reshape(count, count)
            if np.isfinite(rows).all() and rows.any():
                matrix, turned = rows.T, True  # a row of the file is the direction of an axis
            break
    spacing = np.ones(count)
    given = numbers(name, "ElementSpacing", fields["ElementSpacing"], count) if "ElementSpacing" in fields else []
    said = count >= 3 and bool(given) and bool(np.isfinite(given).all()) and 0 not in given
    if given:
        spacing = np.where(np.isfinite(given) & (np.array(given) != 0), given, 1.0)
    origin = np.zeros(count)
    for key in ("Offset", "Position", "Origin"):
        if key in fields:
            origin = np.array(numbers(name, key, fields[key], count))
            break
    unit = _MM.get(fields.get("DistanceUnits", "").lower())
    return matrix * spacing, origin, said and unit is not None, turned, unit or 1.0
