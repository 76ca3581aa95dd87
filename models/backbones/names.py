"""Weights as authors saved them: wrappers' prefixes and dead entries gone, unknown names refused."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch

from ...imaging.errors import BadCall

WRAPPERS = ("module.", "_orig_mod.")


def known_names(
    state: Mapping[str, torch.Tensor], known: str, whose: str, *, dead: str = r"(?!)"
) -> dict[str, torch.Tensor]:
    """The tensors that a system has, by their names without prefixes.

    Args:
        known: pattern of its names.
        whose: what the file should be, for the refusal.
        dead: pattern of names that the authors' code stores and never uses; they are left out.

    Raises:
        BadCall: another name.
    """
    own = {}
    for key, value in state.items():
        while key.startswith(WRAPPERS):
            key = key.split(".", 1)[1]
        if re.fullmatch(dead, key):
            continue
        if not re.fullmatch(known, key):
            raise BadCall(f"The checkpoint holds '{key}', which this network has not. Give {whose}.")
        own[key] = value
    return own


def numbered(state: Mapping[str, torch.Tensor], pattern: str) -> int:
    """How many numbers from 0 up stand in the group of a pattern that names match from their start."""
    found = {int(match[1]) for key in state if (match := re.match(pattern, key))}
    return max(found, default=-1) + 1
