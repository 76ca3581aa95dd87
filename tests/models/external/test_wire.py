"""Arrays of servers: packed by hand as their own code packs them, and bytes that lie in every way we could think of."""

import struct
import tracemalloc
from collections.abc import Callable
from typing import Any

import blosc2
import numpy as np
import pytest

from ostensor.models.external.servers.wire import Damaged, pack_nnia, pack_vxa2, unpack_nnia, unpack_vxa2

SHAPE = (5, 7, 11)
Unpack = Callable[[bytes, tuple[int, ...]], Any]


def some(dtype: str) -> Any:
    return (np.random.default_rng(3).random(SHAPE) * 9 > 7).astype(dtype)


def nnia(array: Any, *, name: str | None = None, shape: tuple[int, ...] | None = None, pieces: int = 1) -> bytes:
    """After nnInteractive `inference/remote/serialization.py`: header, count of pieces, each with its two lengths."""
    told, size = (array.dtype.name if name is None else name).encode(), shape or array.shape
    head = b"NNIA" + bytes([1, 1, len(size), len(told)]) + told + b"".join(struct.pack("<q", one) for one in size)
    raw = array.tobytes()
    cuts = [raw[len(raw) * n // pieces : len(raw) * (n + 1) // pieces] for n in range(pieces)]
    return head + struct.pack("<I", pieces) + b"".join(map(_piece, cuts))


def vxa2(array: Any, *, name: str | None = None, shape: tuple[int, ...] | None = None, pieces: int = 1) -> bytes:
    """After VoxTell `server/serialization.py`."""
    told, size = (array.dtype.str if name is None else name).encode(), shape or array.shape
    head = b"VXA2" + bytes([len(told)]) + told + bytes([len(size)]) + b"".join(struct.pack("<Q", one) for one in size)
    raw = array.tobytes()
    cuts = [raw[len(raw) * n // pieces : len(raw) * (n + 1) // pieces] for n in range(pieces)]
    return head + struct.pack("<Q", len(raw)) + b"".join(map(_piece, cuts))


def _piece(raw: bytes) -> bytes:
    packed = blosc2.compress2(raw, typesize=1)
    return struct.pack("<QQ", len(raw), len(packed)) + packed


FORMATS = [(nnia, unpack_nnia), (vxa2, unpack_vxa2)]
formats = pytest.mark.parametrize(("pack", "unpack"), FORMATS, ids=["nnia", "vxa2"])


@formats
@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", "bool"])
@pytest.mark.parametrize("pieces", [1, 3])
def test_arrays_packed_by_hand_are_read(pack: Any, unpack: Unpack, dtype: str, pieces: int) -> None:
    array = some(dtype)
    found = unpack(pack(array, pieces=pieces), SHAPE)
    assert found.dtype == array.dtype
    assert np.array_equal(found, array)


@pytest.mark.parametrize(("pack", "unpack"), [(pack_nnia, unpack_nnia), (pack_vxa2, unpack_vxa2)])
def test_what_is_packed_is_read_again(pack: Callable[[Any], bytes], unpack: Unpack) -> None:
    turned = some("float32").transpose(2, 0, 1)  # not contiguous
    assert np.array_equal(unpack(pack(turned), (11, 5, 7)), turned)


def test_our_packing_is_theirs_byte_for_byte_up_to_the_pieces() -> None:
    array = some("uint8")
    head = len(b"NNIA") + 4 + len("uint8") + 3 * 8 + 4 + 8  # the second length depends on the compressor
    assert pack_nnia(array)[:head] == nnia(array)[:head]


@formats
def test_every_prefix_is_refused(pack: Any, unpack: Unpack) -> None:
    whole = pack(some("uint8"), pieces=2)
    for end in range(len(whole)):
        with pytest.raises(Damaged):
            unpack(whole[:end], SHAPE)


@formats
def test_flipped_bytes_are_refused_or_leave_an_array_of_the_shape(pack: Any, unpack: Unpack) -> None:
    """A flip inside the packed voxels may go unnoticed (the formats have no checksum), but nothing else may happen."""
    whole, rng = pack(some("uint8")), np.random.default_rng(0)
    for place in range(len(whole)):
        for flip in (0xFF, 0x80, int(rng.integers(1, 256))):
            hostile = bytearray(whole)
            hostile[place] ^= flip
            try:
                assert unpack(bytes(hostile), SHAPE).shape == SHAPE
            except Damaged:
                continue


@formats
@pytest.mark.parametrize("shape", [(5, 7, 12), (5, 7), (11, 7, 5), (2**40, 2**20, 2**3), ()])
def test_another_shape_is_refused_before_anything_is_allocated(pack: Any, unpack: Unpack, shape: Any) -> None:
    content = pack(some("uint8"), shape=shape or (1,))
    tracemalloc.start()
    with pytest.raises(Damaged, match="shape"):
        unpack(content, SHAPE)
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


@formats
@pytest.mark.parametrize(
    "name",
    ["float64", "<f8", "object", "|O", "V99999999", "f8,f8", "(999,999)u1", "U9999", "datetime64[ns]", "[[", "{}", "a" * 200,
     "é", "", "u1;", "uint8 ", "(", "i4, (2"],
)  # fmt: skip
def test_other_types_are_refused(pack: Any, unpack: Unpack, name: str) -> None:
    with pytest.raises(Damaged):
        unpack(pack(some("uint8"), name=name), SHAPE)


@formats
@pytest.mark.parametrize("plain", [0, 1, 384, 386, 1 << 31, 1 << 62, (1 << 64) - 1])
@pytest.mark.parametrize("packed", [None, 0, 15, 31, 1 << 31, (1 << 64) - 1])
def test_lengths_that_lie_are_refused(pack: Any, unpack: Unpack, plain: int, packed: int | None) -> None:
    whole = pack(some("uint8"))
    start = len(whole) - len(_piece(some("uint8").tobytes()))
    true = struct.unpack_from("<Q", whole, start + 8)[0]
    lying = whole[:start] + struct.pack("<QQ", plain, true if packed is None else packed) + whole[start + 16 :]
    with pytest.raises(Damaged):
        unpack(lying, SHAPE)


@formats
def test_a_piece_that_would_unpack_to_more_than_it_says_is_refused(pack: Any, unpack: Unpack) -> None:
    bomb = blosc2.compress2(bytes(1 << 26), typesize=1)
    whole = pack(some("uint8"))
    start = len(whole) - len(_piece(some("uint8").tobytes()))
    tracemalloc.start()
    with pytest.raises(Damaged):
        unpack(whole[:start] + struct.pack("<QQ", 385, len(bomb)) + bomb, SHAPE)
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


@formats
def test_random_bytes_behind_a_true_header_are_refused(pack: Any, unpack: Unpack) -> None:
    whole, rng = pack(some("uint8")), np.random.default_rng(1)
    start = len(whole) - len(_piece(some("uint8").tobytes())) + 16
    for length in (0, 1, 16, 31, 32, 33, 64, 400):
        for _ in range(50):
            noise = rng.bytes(length)
            told = struct.pack("<QQ", 385, length)
            with pytest.raises(Damaged):
                unpack(whole[: start - 16] + told + noise, SHAPE)
            sized = noise[:4] + struct.pack("<iii", 385, 385, length) + noise[16:]  # a Blosc2 header of true lengths
            try:
                assert unpack(whole[: start - 16] + told + sized, SHAPE).shape == SHAPE
            except Damaged:
                continue


@formats
def test_more_than_one_array_is_not_taken(pack: Any, unpack: Unpack) -> None:
    whole = pack(some("uint8"))
    piece = _piece(b"1234")
    if unpack is unpack_vxa2:
        with pytest.raises(Damaged):
            unpack(whole + piece, SHAPE)
    assert unpack(whole, SHAPE).shape == SHAPE
