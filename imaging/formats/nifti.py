"""NIfTI: reading with every refusal, writing that reads back the same."""

from __future__ import annotations

import gzip
import io
import math
import os
import struct
import zlib
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import nibabel
import numpy as np
import numpy.typing as npt
from isal import igzip
from isal.igzip_lib import IsalError
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError

from ..errors import BadCall
from ..guards.atomic import write_atomically
from ..guards.doors import ANYWHERE, Door
from ..guards.limits import BUDGET, check_ratio, check_size
from ..volume import Affine, Grid
from .table import NO_ORIENTATION, UNSURE_SIDES, Raw

SYNTHETIC_NOTE = b"synthetic image (ostensor)"
STATED_NOTE = b"voxel size stated by the user (ostensor)"
_COMMENT = 6  # code of a header extension in plain text (nifti1.h, NIFTI_ECODE_COMMENT)
_KINDS = {348: nibabel.Nifti1Header, 540: nibabel.Nifti2Header}
_HEADER_BYTES = 64 * 1024**2  # with extensions; our choice
_LABELS = 1002  # intent code (nifti1.h, NIFTI_INTENT_LABEL)
_PIECE = 1 << 22  # voxels


def read_nifti(path: Path, door: Door = ANYWHERE) -> Raw:
    """What the file holds.

    Raises:
        BadCall: truncated or no NIfTI, 4-D, RGB or complex voxels, no usable geometry, or far more voxels than bytes.
    """
    name = path.name
    with door.open(path) as file, ExitStack() as open_files:
        packed = file.peek(2)[:2] == b"\x1f\x8b"  # type: ignore[attr-defined]  # a buffered file has it
        stream: Any = open_files.enter_context(igzip.IGzipFile(fileobj=file, mode="rb")) if packed else file
        try:
            return _read(stream, name, os.fstat(file.fileno()).st_size, packed=packed)
        except (OSError, EOFError, zlib.error, gzip.BadGzipFile, IsalError) as error:  # type: ignore[misc]  # isal types it loosely
            raise BadCall(
                f"'{name}' is cut short or damaged (gzip: {type(error).__name__}). Copy or download it again."
            ) from error


def read_extensions(path: Path, door: Door = ANYWHERE) -> bytes:
    """The header with everything between it and the voxels, unparsed; b"" where that cannot be read."""
    with door.open(path) as file, ExitStack() as open_files:
        packed = file.peek(2)[:2] == b"\x1f\x8b"  # type: ignore[attr-defined]  # a buffered file has it
        stream: Any = open_files.enter_context(igzip.IGzipFile(fileobj=file, mode="rb")) if packed else file
        try:
            return _header(stream, _with_offset(_start(stream, path.name), path.name)[0], path.name)[1]
        except (BadCall, OSError, EOFError, zlib.error, IsalError):  # type: ignore[misc]  # isal types it loosely
            return b""


def read_outline(path: Path, door: Door = ANYWHERE) -> tuple[tuple[int, ...], tuple[float, ...], bool]:
    """Shape, voxel size in mm (() where it is not told) and whether the header calls its values labels.

    Raises:
        BadCall: no NIfTI, or a damaged header.
        OSError, EOFError, ValueError: it cannot be unpacked.
    """
    with door.open(path) as file:
        packed = file.peek(2)[:2] == b"\x1f\x8b"  # type: ignore[attr-defined]  # a buffered file has it
        stream: Any = igzip.IGzipFile(fileobj=file, mode="rb") if packed else file
        header, head = _header(stream, _with_offset(_start(stream, path.name), path.name)[0], path.name)
        place = _geometry(header, _sizes_said(head, header), path.name)
    shape = tuple(int(n) for n in header.get_data_shape())
    sizes = tuple(float(s) for s in np.linalg.norm(place.affine[:3, :3], axis=0))
    return shape, sizes if place.spacing_known and len(shape) > 2 else (), int(header["intent_code"]) == _LABELS


def _read(stream: BinaryIO, name: str, size: int, *, packed: bool) -> Raw:
    """The image in an open, unpacking stream.

    Args:
        size: of the file, packed as it is.
    """
    head, moved = _with_offset(_start(stream, name), name)
    header, head = _header(stream, head, name)
    dtype, shape = header.get_data_dtype(), tuple(int(n) for n in header.get_data_shape())
    if dtype.fields is not None:
        raise BadCall(
            f"'{name}' holds colour (RGB) voxels. One grey value per voxel is needed. Convert it to grey first."
        )
    if dtype.kind == "c":
        raise BadCall(f"'{name}' holds complex voxels. Real values are needed. Store the magnitude.")
    if len(shape) < 2 or min(shape) < 1:
        raise BadCall(f"'{name}' has shape {shape}: there are no voxels. Give a 3-D image.")
    check_size(name, shape, dtype.itemsize)
    if any(n > 1 for n in shape[3:]):
        raise BadCall(
            f"'{name}' is a {len(shape)}-D series of shape {shape}. One 3-D volume is needed. Save a single time point."
        )
    place = _geometry(header, _sizes_said(head, header), name)
    x, y, z = (*shape[:3], *([1] * (3 - len(shape[:3]))))
    array = _voxels(stream, header, math.prod(shape), name, size, packed=packed).reshape((x, y, z), order="F")
    known, warnings = place.spacing_known and len(shape) > 2, (*moved, *place.warnings)
    if len(shape) == 2:
        warnings = (*warnings, "A 2-D file: its slice thickness is not known, so no volume can be given.")
    grid = Grid((x, y, z), place.affine, spacing_known=known)
    return Raw(array, grid, warnings, _is_synthetic(header, head))


def _start(stream: BinaryIO, name: str) -> bytes:
    """The header without extensions, as long as the format of its version has it.

    Raises:
        BadCall: no NIfTI.
    """
    head = stream.read(348)
    told = {struct.unpack(f"{order}i", head[:4])[0] for order in "<>"} if len(head) >= 4 else set()
    head += stream.read(544 - len(head) if 540 in told else 4)
    if not told & set(_KINDS):
        raise BadCall(
            f"'{name}' is not a NIfTI file (its first bytes are not a NIfTI header). Check the file or its ending."
        )
    return head


def _header(stream: BinaryIO, head: bytes, name: str) -> tuple[Any, bytes]:
    """The parsed header and all its bytes; the stream then stands at the first voxel."""
    size = next(size for size in _KINDS if head[:4] in (struct.pack("<i", size), struct.pack(">i", size)))
    kind = _KINDS[size]
    try:
        plain = kind(head[: kind.template_dtype.itemsize], check=False)
        start = max(kind.single_vox_offset, int(plain["vox_offset"]))
        if start > _HEADER_BYTES:
            raise BadCall(
                f"The header of '{name}' has {start} bytes. At most {_HEADER_BYTES} are read. Export it again."
            )
        head += stream.read(start - len(head))
        return kind(head[: kind.template_dtype.itemsize]), head
    except (HeaderDataError, ImageFileError, WrapStructError, ValueError, OverflowError, KeyError, OSError) as error:
        if isinstance(error, BadCall):
            raise
        raise BadCall(
            f"The NIfTI header of '{name}' is damaged ({type(error).__name__}). Export the file again."
        ) from error


def _voxels(stream: BinaryIO, header: Any, count: int, name: str, size: int, *, packed: bool) -> npt.NDArray[Any]:
    """All voxels in a row, scaled as the header says; read in pieces, so that little is held beside them.

    Raises:
        BadCall: fewer than the header says, or far more than the file has room for.
    """
    dtype = header.get_data_dtype()
    try:
        slope, intercept = header.get_slope_inter()
    except HeaderDataError as error:
        raise BadCall(f"The rescale in '{name}' means nothing. Nothing is guessed. Export it again.") from error
    slope, intercept = 1.0 if slope is None else float(slope), 0.0 if intercept is None else float(intercept)
    scaled = (slope, intercept) != (1.0, 0.0)
    held = np.dtype(np.float32) if scaled else dtype
    needed = count * (
        held.itemsize + (1 if held.kind == "f" else 0) + (0 if held.isnative and held.itemsize < 8 else 8)
    )
    if packed:
        check_ratio(name, size, needed)
    elif size < count * dtype.itemsize:
        raise _cut(name)
    with BUDGET.reserved(name, needed):
        array = np.empty(count, held)
        for begin in range(0, count, _PIECE):
            end = min(count, begin + _PIECE)
            piece = np.empty(end - begin, dtype) if scaled else array[begin:end]
            if _filled(stream, piece.data.cast("B")) < piece.nbytes:
                raise _cut(name)
            if scaled:
                with np.errstate(over="ignore", invalid="ignore"):  # what comes of it is refused by the volume
                    array[begin:end] = piece.astype(np.float64) * slope + intercept
        if packed:
            stream.read(1)  # the checksum is looked at when the end is reached
        return array


def _filled(stream: BinaryIO, into: memoryview) -> int:
    done = 0
    while done < len(into):
        got = stream.readinto(into[done:])  # type: ignore[attr-defined]  # both kinds of stream have it
        if not got:
            break
        done += got
    return done


def _cut(name: str) -> BadCall:
    return BadCall(f"'{name}' is cut short: fewer voxels than its header says. Copy it again.")


def _is_synthetic(header: Any, head: bytes) -> bool:
    """Either mark counts: programs rewrite the description, and some drop extensions.

    Extensions are walked, not kept: 64 MiB may hold four million of them. Source: nifti1.h, section on extensions.
    """
    if SYNTHETIC_NOTE in bytes(header["descrip"]):
        return True
    at = type(header).template_dtype.itemsize
    layout = struct.Struct(f"{header.endianness}2i")
    if head[at : at + 1] in (b"", b"\0"):
        return False
    at += 4
    while at + layout.size <= len(head):
        size, code = layout.unpack_from(head, at)
        if code == _COMMENT and SYNTHETIC_NOTE in head[at + layout.size : at + max(size, 0)]:
            return True
        if size < 16:
            return False
        at += size
    return False


def _with_offset(raw: bytes, name: str) -> tuple[bytes, tuple[str, ...]]:
    """The file with the place of its voxels put right when its header says they begin within the header.

    nibabel would take the header's own bytes for voxels. Source: nifti1.h, "vox_offset": at least 352 in a single file.

    Raises:
        BadCall: extensions follow, so that where the voxels begin cannot be told.
    """
    for size, place, kind in ((348, "f4", nibabel.Nifti1Header), (540, "i8", nibabel.Nifti2Header)):
        for order in "<>":
            if len(raw) < kind.single_vox_offset or raw[:4] != np.array(size, f"{order}i4").tobytes():
                continue
            at = kind.template_dtype.fields["vox_offset"][1]
            told = float(np.frombuffer(raw, f"{order}{place}", count=1, offset=at)[0])
            if 0 <= told < kind.single_vox_offset or np.isnan(told):
                if raw[size] != 0:
                    raise BadCall(
                        f"'{name}' says its voxels begin at byte {told:g}, within the header, and extensions follow it. "
                        "Where they begin cannot be told. Export the file again."
                    )
                right = np.array(kind.single_vox_offset, f"{order}{place}").tobytes()
                note = f"The header says the voxels begin at byte {told:g}, within itself; they are read from byte {kind.single_vox_offset}."
                return raw[:at] + right + raw[at + len(right) :], (note,)
    return raw, ()


def _sizes_said(raw: bytes, header: Any) -> npt.NDArray[np.float64]:
    """Voxel sizes as they stand in the file: nibabel mends a missing size to 1. Up to three, nan where impossible."""
    kind = type(header)
    plain = kind(raw[: kind.template_dtype.itemsize], endianness=header.endianness, check=False)
    sizes = np.array(plain["pixdim"][1 : 1 + min(3, len(header.get_data_shape()))], dtype=np.float64)
    return np.where(np.isfinite(sizes) & (sizes != 0), np.abs(sizes), np.nan)


@dataclass(frozen=True)
class _Place:
    """Affine in mm (sizes of 1 stand in where none are known), and what to say about it."""

    affine: Affine
    spacing_known: bool
    warnings: tuple[str, ...]


def _geometry(header: Any, sizes: npt.NDArray[np.float64], name: str) -> _Place:
    """Where the voxels lie; sform before qform, as nibabel.

    Args:
        sizes: of the voxels as the file says, nan where it does not.
    """
    unit = header.get_xyzt_units()[0]
    scale = {"meter": 1000.0, "micron": 0.001}.get(unit, 1.0)
    sform, scode = header.get_sform(coded=True)
    try:
        qform, qcode = header.get_qform(coded=True)
    except (ValueError, HeaderDataError) as error:
        raise BadCall(f"The orientation (qform) in '{name}' is damaged. Export the file again.") from error
    warnings: list[str] = []
    sized = len(sizes) == 3 and bool(np.isfinite(sizes).all())
    if scode and qcode and sized and not np.allclose(sform, qform, atol=1e-2):
        warnings.append("The file's two geometries (sform and qform) differ; the sform is used.")
    chosen = sform if scode else qform if qcode else None
    if chosen is None:
        if sized and not np.allclose(sizes, 1.0):
            warnings.append(f"The file has voxel sizes but no orientation; RAS is assumed, so {UNSURE_SIDES}.")
            return _Place(np.diag([*(sizes * scale), 1.0]), True, tuple(warnings))
        return _Place(np.eye(4), False, (*warnings, NO_ORIENTATION))
    affine = np.array(chosen, dtype=np.float64)
    affine[:3] *= scale
    return _Place(affine, bool(scode) or sized, tuple(warnings))


def write_nifti(path: Path, array: npt.NDArray[Any], grid: Grid, *, synthetic: bool = False) -> None:
    """Write `.nii` or `.nii.gz` in one piece; booleans become 0 and 1."""
    values = array.astype(np.uint8) if array.dtype == np.bool_ else np.asarray(array)
    if values.dtype == np.float16:
        values = values.astype(np.float32)
    affine = grid.affine.copy()
    if not grid.volume_known:  # sizes of 1 stand for none; a size within the plane alone has no place in the header
        affine[:3, :3] /= np.array(grid.spacing_mm)
    image = nibabel.Nifti1Image(values, affine, dtype=values.dtype)
    image.header.set_xyzt_units("mm" if grid.volume_known else "unknown")
    code = 1 if grid.volume_known else 0
    image.set_sform(affine, code=code)
    image.set_qform(affine, code=code)
    if grid.stated:
        image.header["descrip"] = STATED_NOTE
        image.header.extensions.append(nibabel.nifti1.Nifti1Extension(_COMMENT, STATED_NOTE))
    if synthetic:
        image.header["descrip"] = SYNTHETIC_NOTE
        image.header.extensions.append(nibabel.nifti1.Nifti1Extension(_COMMENT, SYNTHETIC_NOTE))
    content = image.to_bytes()
    if path.name.endswith(".gz"):
        buffer = io.BytesIO()
        with igzip.IGzipFile(fileobj=buffer, mode="wb", compresslevel=1, mtime=0) as packed:
            packed.write(content)
        content = buffer.getvalue()
    write_atomically(path, lambda file: file.write(content))
