"""What to try when a device has not enough memory, in order, each with words for the asker. Torch-free."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Way:
    """A way to run a model.

    Attributes:
        device: as torch says it.
        precision: "auto", or "bf16" where nothing larger fits.
        notice: what is said when it is taken; "" for the first.
        word: the same for figures: "cleared", "half" or "cpu".
    """

    device: str
    precision: str = "auto"
    notice: str = ""
    word: str = ""


def ways_of(device: str) -> tuple[Way, ...]:
    """As asked; again in a cleared device; in half precision; on the CPU."""
    first = Way(device)
    if device == "cpu":
        return (first,)
    return (
        first,
        Way(device, notice=f"{device} was out of memory: other models and features were dropped", word="cleared"),
        Way(device, "bf16", f"{device} was out of memory: run in half precision", word="half"),
        Way("cpu", notice=f"{device} was out of memory: run on the CPU", word="cpu"),
    )


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that a device, or the machine, has no memory left."""
    words = str(error).lower()
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or (isinstance(error, RuntimeError) and ("out of memory" in words or "not enough memory" in words))
    )
