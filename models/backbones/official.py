"""Published weights under our names: rules from the authors' keys to ours, and everything else refused."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from ...imaging.errors import BadCall
from ..checkpoints import Network, Tensors, fill

State = Mapping[str, Any]
Rule = tuple[str, str | Callable[[re.Match[str]], str]]
"""A pattern of whole keys and what they become, as `re.sub` takes it; "" drops what has no influence on the authors' answer."""
Rules = Sequence[Rule]
_WRAPPERS = ("state_dict", "network_weights")  # nnU-Net 1 and 2 put the weights there
_COUNTER = "num_batches_tracked"
_PREFIXES = ("module.", "_orig_mod.")  # torch's DataParallel and compile


def unwrap(content: Mapping[str, Any]) -> Tensors:
    """The tensors of a checkpoint, out of the dict and from behind the prefixes that training loops put round them."""
    for name in _WRAPPERS:
        if isinstance(content.get(name), Mapping):
            content = content[name]
    found = {}
    for key, value in content.items():
        for prefix in _PREFIXES:
            key = key.removeprefix(prefix)
        found[key] = value
    return found


def rename(state: Mapping[str, Any], rules: Rules, whose: str, dead: Sequence[str] = ()) -> Tensors:
    """The state with our keys.

    Args:
        rules: the first pattern that fits a key decides.
        whose: what the file should be, for the refusal.
        dead: patterns of keys that have no influence on the authors' answer.

    Raises:
        BadCall: a key that no rule and no dead pattern knows, or two keys that become one.
    """
    found: Tensors = {}
    for key, value in unwrap(state).items():
        if any(re.fullmatch(one, key) for one in dead):
            continue
        name = next((re.sub(one, ours, key) for one, ours in rules if re.fullmatch(one, key)), None)
        if name is None and key.endswith(_COUNTER):
            continue
        if name is None:
            raise BadCall(f"The weights hold '{key}', which is unknown here. Give {whose}.")
        if not name:
            continue
        if name in found:
            raise BadCall(f"The weights hold '{name}' twice, the second time as '{key}'. Give {whose}.")
        found[name] = value
    return found


def load(net: Network, state: Mapping[str, torch.Tensor], whose: str) -> Network:
    """The network with converted weights, ready to answer; counters of batches start at 0.

    Args:
        net: built on the meta device, so that nothing is allocated twice.

    Raises:
        BadCall: keys are missing or unexpected, shapes differ, or a value is not finite.
    """
    counters = {key: torch.zeros((), dtype=torch.long) for key in net.state_dict() if key.endswith(_COUNTER)}
    return fill(net, {**counters, **state}, whose)


def read_width(state: Mapping[str, torch.Tensor], key: str, axis: int, whose: str) -> int:
    """A side of a weight, as sizes are read from it.

    Raises:
        BadCall: the weight is missing.
    """
    if key not in state:
        raise BadCall(f"The weights lack '{key}'. Give {whose}.")
    return state[key].shape[axis]


def count(state: Mapping[str, torch.Tensor], pattern: str) -> int:
    """How many numbers 0, 1, 2 ... the group of a pattern takes at the start of the keys; 0 for none.

    Raises:
        BadCall: a number is left out.
    """
    numbers = {int(found[1]) for key in state if (found := re.match(pattern, key))}
    if numbers != set(range(len(numbers))):
        raise BadCall(
            f"The weights number their parts {sorted(numbers)}, so some are missing. Give the whole checkpoint."
        )
    return len(numbers)
