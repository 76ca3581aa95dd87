"""The devices of this machine in words: what the processor can do fast, which cards there are, and what `auto` takes."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator

from ...imaging.errors import OstensorError
from ...models.inference.hardware import FAST_BF16, cpu_flags
from ...workers.devices import cards, devices_of

_ASK = ("--query-gpu=name,memory.total,memory.free,compute_cap,driver_version", "--format=csv,noheader,nounits")
_KINDS = {"AVX2": "avx2", "AVX-512": "avx512f", "VNNI": "avx512_vnni", "AMX": "amx_tile", "NEON": "asimd"}
_BF16_CAPABILITY = 8.0  # Source: NVIDIA CUDA C++ Programming Guide, "Compute Capabilities": bfloat16 from 8.0 on


def device_lines(visible: str | None) -> Iterator[str]:
    """A sentence for the processor, one for each card, and what --device auto takes.

    Args:
        visible: what `CUDA_VISIBLE_DEVICES` says; None where it is not set.
    """
    yield f"CPU: {processor_words(cpu_flags())}"
    found = cards(visible)
    lines = card_lines(_asked()) if found or shutil.which("nvidia-smi") else []
    yield from lines or ["no CUDA card (nvidia-smi lists none)"]
    if lines and not found:
        yield "the cards are hidden from CUDA: CUDA_VISIBLE_DEVICES names none of them"
    try:
        chosen = ", ".join(
            one.name + (f" (up to {one.budget_mb} MB a request)" if one.budget_mb else "")
            for one in devices_of("auto", None, found)
        )
    except OstensorError as error:
        chosen = str(error)
    yield f"--device auto takes {chosen}"


def processor_words(flags: frozenset[str]) -> str:
    """What an instruction set is good for here, or that it cannot be read."""
    if not flags:
        return "its instruction sets cannot be read here"
    has = [name for name, flag in _KINDS.items() if flag in flags]
    fast = any(flag in flags for flag in FAST_BF16)
    half = "bf16 in hardware" if fast else "no bf16 in hardware, so networks run in float32"
    return f"{', '.join(has) or 'none of ' + ', '.join(_KINDS)}; {half}"


def card_lines(told: str) -> list[str]:
    """A sentence for each line of nvidia-smi's answer; one that is cut or strange is left out."""
    lines = []
    for number, row in enumerate(line.split(",") for line in told.splitlines() if line.strip()):
        name, total, free, capability, driver = (word.strip() for word in (*row, "", "", "", "", "")[:5])
        if not total.isdigit():
            continue
        try:
            half = ", bf16" if float(capability) >= _BF16_CAPABILITY else ", no bf16"
        except ValueError:
            half = ""
        lines.append(
            f"card {number}: {name}, {total} MB ({free} MB free), compute capability {capability}{half}, driver {driver}"
        )
    return lines


def _asked() -> str:
    """What the driver's program says; "" where it says nothing."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return ""
    try:
        return subprocess.run([program, *_ASK], capture_output=True, text=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ""
