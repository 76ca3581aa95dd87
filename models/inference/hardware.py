"""What the processor can do fast, and what memory this program took. Torch-free at import."""

from __future__ import annotations

import platform
import resource
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

FAST_BF16 = ("avx512_bf16", "amx_bf16")  # Linux names of the instruction sets; PERF.md §0.1


@cache
def cpu_flags() -> frozenset[str]:
    """Instruction sets of this processor as Linux names them; empty where that cannot be read."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return frozenset()
    lines = [line for line in text.splitlines() if line.startswith(("flags", "Features"))]
    return frozenset(lines[0].split(":", 1)[1].split()) if lines else frozenset()


def has_fast_bf16(device: torch.device) -> bool:
    """True when bfloat16 is done in hardware on the device; emulated it is far slower than float32."""
    if device.type == "cuda":
        import torch

        return bool(torch.cuda.is_bf16_supported())
    return any(flag in cpu_flags() for flag in FAST_BF16)


def peak_mb() -> float:
    """Most memory this program has held, in MB of a million bytes.

    `resource.getrusage` will not do: its peak survives the start of a program, so a child of a large parent begins with
    the parent's.
    """
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        peak = next(line for line in lines if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        unit = 1 if platform.system() == "Darwin" else 1024  # macOS counts bytes, others KiB
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
    return int(peak.split()[1]) * 1024 / 1e6
