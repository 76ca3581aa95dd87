"""What a trained network takes in memory: measured in a process of its own, which holds nothing else.

python -m ostensor.models.language.satmini.peak '{"network": {...}, "structures": [...]}'
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from ...inference.hardware import peak_mb
from .engine import build_engine
from .fixed_classes import ClassesConfig, FixedClasses
from .queried import QueriedBackbone, QueriedConfig

_GROWN = 2  # times the sides of the second look


def measured_memory(network: Mapping[str, Any], structures: Sequence[str], patch: Sequence[int]) -> dict[str, int]:
    """`memory_mb` of a process that has the network and has not looked, and `tile_bytes` of each voxel it looks at.

    Args:
        network: of a backbone, as its configuration's `to_json` says it.
        patch: sides of what it is measured on.
    """
    given = json.dumps({"network": dict(network), "structures": list(structures), "patch": list(patch)})
    done = subprocess.run(
        [sys.executable, "-m", __name__, given], capture_output=True, text=True, check=True, timeout=600
    )
    found: dict[str, int] = json.loads(done.stdout)
    return found


def _measure(network: dict[str, Any], structures: Sequence[str], patch: Sequence[int]) -> dict[str, int]:
    net: FixedClasses | QueriedBackbone
    if "text_dim" in network:
        net = QueriedBackbone(QueriedConfig.from_json(network))
    else:
        net = FixedClasses(ClassesConfig.from_json(network), structures)
    sides = list(patch[: net.config.dims])
    run, _engine = build_engine(
        net, backend="torch", precision="fp32"
    )  # to convert a network takes more than to run it
    before = peak_mb()
    batch = 4 if net.config.dims == 2 else 1
    if not net.config.window and net.config.dims == 3:
        sides = [_GROWN * side for side in sides]
    run(torch.zeros(batch, net.config.channels, *sides).numpy())
    voxels = batch * int(torch.tensor(sides).prod())
    return {"memory_mb": round(before), "tile_bytes": max(1, round((peak_mb() - before) * 1e6 / voxels))}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_measure(**json.loads(sys.argv[1]))))
