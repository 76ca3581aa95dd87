"""Which devices this machine has and how much memory they have, without loading torch."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

from ..imaging.errors import BadCall, Unavailable

SHARE = 0.9  # of a card's memory that may be reckoned with: drivers and libraries keep some
_ASK = ("--query-gpu=index,memory.total,uuid", "--format=csv,noheader,nounits")


@dataclass(frozen=True)
class Device:
    """A place to run networks.

    Attributes:
        name: as torch says it, "cpu" or "cuda:0".
        budget_mb: what one request may need there; None does not limit it.
    """

    name: str
    budget_mb: int | None = None


@cache
def cards(visible: str | None = None) -> tuple[Device, ...]:
    """CUDA devices that the driver's own program lists and CUDA will show a process; () where there are none.

    They are numbered as torch will number them.

    Args:
        visible: what `CUDA_VISIBLE_DEVICES` says; None where it is not set.
    """
    program = shutil.which("nvidia-smi")
    if program is None:
        return ()
    try:
        told = subprocess.run([program, *_ASK], capture_output=True, text=True, timeout=10, check=True).stdout
        rows = [[word.strip() for word in line.split(",")] for line in told.splitlines() if line.strip()]
        found = [(index, uuid, int(SHARE * int(memory))) for index, memory, uuid in rows]
    except (OSError, ValueError, subprocess.SubprocessError):
        return ()
    if visible is not None:  # of slices of a card (MIG) nvidia-smi tells no memory, and CUDA shows one
        found = found[:1] if "MIG-" in visible else _visible(found, visible)
    return tuple(Device(f"cuda:{number}", memory) for number, (_index, _uuid, memory) in enumerate(found))


def _visible(found: Sequence[tuple[str, str, int]], words: str) -> list[tuple[str, str, int]]:
    """Cards that `CUDA_VISIBLE_DEVICES` names by index or the start of their UUID, in its order, up to the first unknown one.

    Source: NVIDIA CUDA C++ Programming Guide, "CUDA Environment Variables".
    """
    shown: list[tuple[str, str, int]] = []
    for word in (part.strip() for part in words.split(",")):
        named = [one for one in found if word == one[0] or (word.startswith("GPU-") and one[1].startswith(word))]
        if len(named) != 1:
            break
        shown += named
    return shown


def devices_of(words: str, budget_mb: int | None, known: Sequence[Device]) -> tuple[Device, ...]:
    """The devices that words name: "auto" (every card, else the CPU), "cuda" (every card), or names with commas.

    Args:
        budget_mb: what one request may need, on a card no more than it has; None does not limit it further.
        known: the machine's cards (`cards`).

    Raises:
        BadCall: words that name no device, or one twice.
        Unavailable: a card that is not there.
    """
    found = {card.name: card for card in known}
    chosen: list[Device] = []
    for word in (part.strip() for part in words.split(",")):
        if word == "cpu" or (word == "auto" and not found):
            chosen.append(Device("cpu", budget_mb))
        elif word in ("auto", "cuda"):
            if not found:
                raise Unavailable("No CUDA device is present (nvidia-smi lists none). Use --device cpu.")
            chosen += found.values()
        elif word in found:
            chosen.append(found[word])
        elif word.startswith("cuda:") and word[5:].isdigit():
            raise Unavailable(f"There is no device '{word}'. Present: {', '.join(found) or 'no card'}, cpu.")
        else:
            raise BadCall(f"Unknown device '{word}'. Use cpu, cuda, cuda:N, auto, or several with commas.")
    if len({one.name for one in chosen}) < len(chosen):
        raise BadCall(f"--device '{words}' names a device twice.")
    return tuple(replace(one, budget_mb=_least(one.budget_mb, budget_mb)) for one in chosen)


def _least(one: int | None, other: int | None) -> int | None:
    """The lower of two limits; None where there is none."""
    return min((limit for limit in (one, other) if limit is not None), default=None)
