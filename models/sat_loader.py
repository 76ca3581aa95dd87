"""Published SAT checkpoints: read safely, cleaned, and refused when they are something else."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from ..imaging.errors import BadCall
from .sat import NANO, VARIANTS, Sat, SatConfig, SatTextHead, config_of

State = dict[str, torch.Tensor]

_PREFIX = "module."  # of the parallel wrapper the authors saved with
_ALIAS = ".all_modules."  # second names of the same tensors
_EXTRA = "backbone.decoder.encoder."  # added by the library's own decoder
_TOWERS = ("atlas_tower", "temperature", "text_tower")
# The optimiser state of the Nano file holds numpy scalars, under their old or new home; nothing else is allowed.
_SCALAR: Any = np.float64(0).__reduce__()[0]
_ALLOWED: list[Any] = [
    (_SCALAR, "numpy.core.multiarray.scalar"),
    (_SCALAR, "numpy._core.multiarray.scalar"),
    np.dtype,
    *(type(np.dtype(kind)) for kind in ("float64", "float32", "int64")),
]


def read_checkpoint(path: Path) -> State:
    """The tensors of a file, clean names.

    Raises:
        BadCall: no such file, not a checkpoint, or one that would run code when opened.
    """
    if not path.is_file():
        raise BadCall(f"There is no file '{path.name}'. Give the checkpoint as it was downloaded.")
    try:
        if path.suffix == ".safetensors":
            return cleaned(load_file(path))
        with torch.serialization.safe_globals(_ALLOWED):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise BadCall(
            f"'{path.name}' holds more than tensors and might run code when opened, so it is not. Use the authors' original."
        ) from error
    except (RuntimeError, EOFError, OSError, zipfile.BadZipFile, SafetensorError, ValueError, KeyError) as error:
        raise BadCall(f"'{path.name}' is not a checkpoint, or is truncated. Download it again.") from error
    state = content.get("model_state_dict", content) if isinstance(content, Mapping) else None
    if not isinstance(state, Mapping) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise BadCall(f"'{path.name}' holds no state dict of tensors. Give a SAT segmentation or text checkpoint.")
    return cleaned(state)


def cleaned(state: Mapping[str, torch.Tensor]) -> State:
    """Without wrapper prefix, aliases and leftovers of the library; half precision widened."""
    found: State = {}
    for key, value in state.items():
        name = key.removeprefix(_PREFIX)
        if _ALIAS not in name and not name.startswith(_EXTRA):
            found[name] = value.float() if value.is_floating_point() else value
    return found


def sat_config(state: Mapping[str, torch.Tensor], *, expected: str | None = None) -> SatConfig:
    """The widths of a segmentation checkpoint.

    Args:
        expected: a model of the catalogue it must be.

    Raises:
        BadCall: it is another kind of file, or another variant.
    """
    if any(tower in key for key in state for tower in _TOWERS):
        raise BadCall(
            "This is a file of the text side or of the knowledge pre-training, not segmentation weights. "
            "Give the segmentation checkpoint, e.g. SAT_Nano_UNET.pth or SAT_Pro.pth."
        )
    needed = (
        "projection_layer.0.weight",
        "mask_embed_proj.0.weight",
        "backbone.encoder.stages.0.0.convs.0.conv.weight",
    )
    missing = [key for key in needed if key not in state]
    if missing:
        raise BadCall(f"This is no SAT segmentation checkpoint: '{missing[0]}' is missing.")
    try:
        config = config_of(state, VARIANTS[expected] if expected else NANO)
    except KeyError as error:
        raise BadCall(f"This is no complete SAT segmentation checkpoint: {error} is missing.") from None
    if expected is not None and config != VARIANTS[expected]:
        other = next((name for name, known in VARIANTS.items() if known == config), "of unknown widths")
        raise BadCall(f"This checkpoint is {other}, not {expected}. Import it under its own name.")
    return config


def load_sat(state: Mapping[str, torch.Tensor], config: SatConfig) -> Sat:
    """The network with these weights, in evaluation mode.

    Raises:
        BadCall: keys are missing or unexpected, or shapes differ.
    """
    with torch.device("meta"):
        net = Sat(config)
    _refuse_differences(set(net.state_dict()), set(state))
    try:
        net.load_state_dict(dict(state), assign=True)
    except RuntimeError as error:
        raise BadCall(f"The checkpoint does not fit the network: {str(error).splitlines()[-1].strip()}") from None
    return net.eval()


def load_text_head(state: Mapping[str, torch.Tensor]) -> SatTextHead:
    """Projection and modality embedding of a text checkpoint; its language model is loaded elsewhere.

    Raises:
        BadCall: it is not a text checkpoint.
    """
    kept = {key: value for key, value in state.items() if key.startswith(("projection_layer.", "modality_embed."))}
    if "modality_embed.weight" not in kept or "projection_layer.0.weight" not in kept:
        raise BadCall("This is no SAT text checkpoint: the modality embedding is missing. Give e.g. text_encoder.pth.")
    query_dim, text_dim = kept["projection_layer.0.weight"].shape
    head = SatTextHead(text_dim, query_dim)
    _refuse_differences(set(head.state_dict()), set(kept))
    head.load_state_dict(kept)
    return head.eval()


def language_model_state(state: Mapping[str, torch.Tensor]) -> State:
    """The language model's own tensors in a text checkpoint, under its own names."""
    prefix = "text_tower.biolord."
    return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}


def _refuse_differences(wanted: set[str], given: set[str]) -> None:
    missing, extra = sorted(wanted - given), sorted(given - wanted)
    if missing or extra:
        raise BadCall(
            f"The checkpoint does not fit: {_listed('missing', missing)}{_listed('unexpected', extra)}"
            "Give the authors' original file."
        )


def _listed(what: str, keys: Iterable[str]) -> str:
    names = list(keys)
    return f"{len(names)} {what} (first: {names[0]}). " if names else ""
