"""Checkpoints somebody else made: read without running anything they contain."""

from __future__ import annotations

import argparse
import pickle
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from ..imaging.errors import BadCall

# The optimiser state of SAT Nano holds numpy scalars, under their old or new home; SAM-Med3D's file the arguments of its run, which are
# plain values on an object without code of its own. Nothing else is allowed.
_SCALAR: Any = np.float64(0).__reduce__()[0]
_ALLOWED: list[Any] = [
    (_SCALAR, "numpy.core.multiarray.scalar"),
    (_SCALAR, "numpy._core.multiarray.scalar"),
    argparse.Namespace,
    np.dtype,
    *(type(np.dtype(kind)) for kind in ("float64", "float32", "int64")),
]


Tensors = dict[str, torch.Tensor]
Network = TypeVar("Network", bound=torch.nn.Module)


def full_precision(path: Path) -> Tensors:
    """Tensors of a safetensors file of ours, floating ones as float32."""
    return {key: value.float() if value.is_floating_point() else value for key, value in load_file(path).items()}


def half_precision(net: torch.nn.Module) -> Tensors:
    """A network's weights as our files hold them: floating ones as float16, without counters of batches."""
    return {
        key: (value.half() if value.is_floating_point() else value).contiguous()
        for key, value in net.state_dict().items()
        if not key.endswith("num_batches_tracked")
    }


def read_checkpoint(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a file, a pickle of torch or safetensors whatever its ending.

    Raises:
        BadCall: no such file, not a checkpoint, or one that would run code when opened.
    """
    content = _content(path)
    state = content.get("model_state_dict", content) if isinstance(content, Mapping) else None
    if isinstance(state, Mapping) and isinstance(state.get("model"), Mapping):  # as FLanS saves it
        state = state["model"]
    if not isinstance(state, Mapping) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise BadCall(f"'{path.name}' holds no state dict of tensors. Give the checkpoint itself.")
    return dict(state)


def read_parts(path: Path) -> dict[str, Any]:
    """What a file holds under its names, where that is not one state dict; refusals as of `read_checkpoint`."""
    content = _content(path)
    if not isinstance(content, Mapping):
        raise BadCall(f"'{path.name}' holds nothing under names. Give the checkpoint itself.")
    return dict(content)


def _content(path: Path) -> object:
    if not path.is_file():
        raise BadCall(f"There is no file '{path.name}'. Give the checkpoint as it was downloaded.")
    try:
        with path.open("rb") as file:
            start = file.read(9)
        if start[8:] == b"{":  # eight bytes of length, then JSON
            return dict(load_file(path))
        with torch.serialization.safe_globals(_ALLOWED):
            content: object = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise BadCall(
            f"'{path.name}' holds more than tensors and might run code when opened, so it is not. Use the authors' original."
        ) from error
    except (RuntimeError, EOFError, OSError, zipfile.BadZipFile, SafetensorError, ValueError, KeyError) as error:
        raise BadCall(f"'{path.name}' is not a checkpoint, or is truncated. Download it again.") from error
    return content


def count_numbers(state: Mapping[str, torch.Tensor], pattern: str) -> int:
    """How many different numbers the first group of a pattern finds among the keys."""
    return len({found[1] for key in state if (found := re.match(pattern, key))})


def fill(net: Network, state: Mapping[str, torch.Tensor], whose: str) -> Network:
    """The network with exactly these weights in float32, in evaluation mode and without gradients.

    Args:
        net: built on the meta device, so that nothing is allocated twice.
        whose: what the file should be, for the refusal: "the authors' ScribblePrompt_unet_v1_nf192_res128.pt".

    Raises:
        BadCall: keys are missing or unexpected, shapes differ, or a value is not finite.
    """
    wanted = net.state_dict()
    missing, extra = sorted(set(wanted) - set(state)), sorted(set(state) - set(wanted))
    told = [f"{len(k)} {what} (first: {k[0]})" for what, k in (("missing", missing), ("unexpected", extra)) if k]
    told += [
        f"'{key}' has the shape {list(state[key].shape)} and not {list(value.shape)}"
        for key, value in wanted.items()
        if key in state and state[key].shape != value.shape
    ][:1]
    if told:
        raise BadCall(f"The checkpoint does not fit: {', '.join(told)}. Give {whose}.")
    for key, value in state.items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise BadCall(f"'{key}' of the checkpoint holds values that are not finite. Give {whose}.")
    net.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in state.items()}, assign=True)
    return net.requires_grad_(False).eval()
