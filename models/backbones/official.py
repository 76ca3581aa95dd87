"""State dicts of the authors' networks under our names."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import torch

from ...imaging.errors import BadCall
from ..checkpoints import Tensors

State = Mapping[str, torch.Tensor]
Rule = tuple[str, str]
"""A regular expression for a whole official name, and ours, as `re.sub` takes it; "" drops what has no influence."""


def unwrap(state: State) -> Tensors:
    """The tensors without what data-parallel wrappers put before every name."""
    return {key.removeprefix("module."): value for key, value in state.items()}


def rename(state: State, rules: Sequence[Rule], whose: str) -> Tensors:
    """The tensors under our names; the first rule that fits a name holds.

    Args:
        whose: what the file should be, for the refusal.

    Raises:
        BadCall: a name that no rule knows.
    """
    found: Tensors = {}
    strange = []
    for key, value in unwrap(state).items():
        name = next((re.sub(rule, ours, key) for rule, ours in rules if re.fullmatch(rule, key)), None)
        if name is None:
            strange.append(key)
        elif name:
            found[name] = value
    if strange or not found:
        said = f"{len(strange)} unknown names (first: {min(strange)})" if strange else "there is nothing in it"
        raise BadCall(f"The checkpoint does not fit: {said}. Give {whose}.")
    return found
