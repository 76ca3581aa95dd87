"""A program that goes by where voxels are stored, not by what they hold: every order of axes gives another answer.

Standard library only, for it starts once for each of 48 orders.
"""

import gzip
import itertools
import struct
import sys
from pathlib import Path


def label_at(index: tuple[int, int, int], shape: tuple[int, int, int]) -> int:
    """Three blocks, each before or after the middle of another set of axes and of another size."""
    (x, y, z), (wide, deep, high) = index, shape
    if x < wide // 2 and y < deep // 2:
        return 1
    if x < wide // 3 and z < high // 2:
        return 2
    return 3 if x >= wide // 2 and y < deep // 3 and z < high // 3 else 0


def main(image: str, mask: str) -> None:
    header = bytearray(gzip.decompress(Path(image).read_bytes())[:352])  # NIfTI-1: sizes at 40, type and bits at 70
    shape = struct.unpack_from("<3h", header, 42)
    struct.pack_into("<hh", header, 70, 2, 8)
    struct.pack_into("<ff", header, 112, 1, 0)
    order = itertools.product(*(range(edge) for edge in reversed(shape)))  # the first axis runs fastest
    Path(mask).write_bytes(gzip.compress(bytes(header) + bytes(label_at((x, y, z), shape) for z, y, x in order)))


if __name__ == "__main__":
    main(*sys.argv[1:])
