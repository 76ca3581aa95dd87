"""What is asked of prompts before a network sees them. Torch-free."""

from __future__ import annotations

from collections.abc import Sequence

from ...imaging.errors import BadCall
from ...imaging.volume import Grid
from ..interface import NotUnderstood, Prompt

WORDS = 200  # characters of a name; ours


def check_prompt(prompt: Prompt, grid: Grid) -> None:
    """Refuse a prompt that does not lie on the scan, or words that say nothing.

    Raises:
        BadCall: it does not.
    """
    shape = grid.shape
    if prompt.kind == "point":
        if len(prompt.at) != 3 or any(not 0 <= one < edge for one, edge in zip(prompt.at, shape, strict=True)):
            raise BadCall(f"The point {prompt.at} lies outside the scan of {shape} voxels. Indices start at 0.")
    elif prompt.kind == "box":
        fits = len(prompt.box) == 3 and all(
            0 <= low < high <= edge for (low, high), edge in zip(prompt.box, shape, strict=True)
        )
        if not fits:
            raise BadCall(
                f"The box {prompt.box} lies outside the scan of {shape} voxels, or is empty. Give (first, last + 1) for each axis."
            )
    elif prompt.kind == "text":
        if not prompt.words.strip() or len(prompt.words) > WORDS:
            raise BadCall(
                f"A text of {len(prompt.words)} characters names nothing. Give a name of 1 to {WORDS}, such as 'liver'."
            )
    elif prompt.array is None or prompt.array.shape != shape or not prompt.array.any():
        raise BadCall(f"A {prompt.kind} must be a mask on the scan's grid of {shape} voxels that is not empty.")


def check_prompts(prompts: Sequence[Prompt], grid: Grid, takes: frozenset[str], model: str) -> None:
    """Refuse prompts that are none, lie outside the scan, or are of a kind the network does not take.

    Args:
        takes: see `Promptable.takes`.

    Raises:
        BadCall: one of these; NotUnderstood for a kind.
    """
    if not prompts:
        raise BadCall(
            "Nothing was pointed at. Give at least one prompt; this network takes " + ", ".join(sorted(takes)) + "."
        )
    for prompt in prompts:
        kind = prompt.kind if prompt.positive else f"-{prompt.kind}"
        if kind not in takes:
            said = f"a {prompt.kind}" if prompt.positive else f"a {prompt.kind} that says what is not meant"
            raise NotUnderstood(
                f"'{model}' does not understand {said}. It takes {', '.join(sorted(takes))} (- means: not meant)."
            )
        check_prompt(prompt, grid)
