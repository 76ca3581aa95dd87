"""How much a file may unpack to: a few bytes of header or archive must not fill the memory."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..errors import BadCall

MOST_BYTES = 4 * 1024**3  # of one image, unpacked; a CT of 512 x 512 x 2000 voxels has 1 GiB
MOST_RATIO = 100  # unpacked to packed; scans reach 2 to 10, masks more but are small
FREE_BYTES = 256 * 1024**2  # below this, any ratio will do


def check_size(name: str, shape: Sequence[int], voxel_bytes: int) -> int:
    """Bytes of an image of this shape.

    Raises:
        BadCall: more than `MOST_BYTES`.
    """
    needed = math.prod(max(0, int(n)) for n in shape) * voxel_bytes
    if needed > MOST_BYTES:
        raise BadCall(
            f"'{name}' says it holds {needed / 1024**3:.1f} GiB of voxels. At most {MOST_BYTES // 1024**3} GiB are read. "
            "Crop or resample it first."
        )
    return needed


def check_ratio(name: str, packed: int, unpacked: int) -> None:
    """Refuse an archive that is much smaller than what it holds.

    Raises:
        BadCall: it unpacks to more than `FREE_BYTES` and `MOST_RATIO` times its size.
    """
    if unpacked > FREE_BYTES and unpacked > MOST_RATIO * packed:
        raise BadCall(
            f"'{name}' unpacks to {unpacked // max(1, packed)} times its size, which no scan does. At most {MOST_RATIO} "
            "times are unpacked. Unpack it yourself if it is what you think."
        )
