"""Published SAT checkpoints: cleaned, and refused when they are something else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import load_file

from ....imaging.errors import BadCall
from ...card import Card
from ...checkpoints import Tensors, read_checkpoint
from ...interface import Running
from ...parity import Fixture
from ...text.encoders import CachedEncoder, TransformerEncoder
from .network import NANO, VARIANTS, Sat, SatConfig, SatTextHead, config_of, position_code
from .predictor import SatPredictor

ENCODER_FOLDER = "biolord"  # below the user's weights folder: the text encoder's own files
State = dict[str, torch.Tensor]

_PREFIX = "module."  # of the parallel wrapper the authors saved with
_ALIAS = ".all_modules."  # second names of the same tensors
_EXTRA = "backbone.decoder.encoder."  # added by the library's own decoder
_TOWERS = ("atlas_tower", "temperature", "text_tower")


def read_sat(path: Path) -> State:
    """The tensors of a published file under clean names; errors as `read_checkpoint`."""
    return cleaned(read_checkpoint(path))


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


def convert(card: Card, files: Sequence[Path]) -> Tensors:
    """The authors' two files as one: segmentation, the head of the text tower, and its language model.

    Raises:
        BadCall: a file is not what it should be.
    """
    state = read_sat(files[0])
    load_sat(state, sat_config(state, expected=card.name))
    text = read_sat(files[1])
    load_text_head(text)
    head = {key: value for key, value in text.items() if key.startswith(("projection_layer.", "modality_embed."))}
    parts = {"segmentation": state, "text": head, "words": language_model_state(text)}
    return {f"{part}.{key}": value.contiguous() for part, tensors in parts.items() for key, value in tensors.items()}


def load(card: Card, path: Path, how: Running) -> SatPredictor:
    """SAT with the user's weights; its language model lies beside them."""
    parts: dict[str, State] = {"segmentation": {}, "text": {}, "words": {}}
    for key, value in load_file(path).items():
        part, _, name = key.partition(".")
        parts[part][name] = value
    net = load_sat(parts["segmentation"], sat_config(parts["segmentation"], expected=card.name))
    encoder = TransformerEncoder(path.parent / ENCODER_FOLDER, state=parts["words"])
    words = CachedEncoder(encoder, path.parent / f"vectors-{card.sha256[:12]}.npz")
    return SatPredictor(net, load_text_head(parts["text"]), words, card, device=how.device)


def reproduce(fixture: Fixture) -> Tensors:
    """Our outputs on a fixture of the official code; its texts come as pooled vectors."""
    state = cleaned(fixture.state("segmentation"))
    net = load_sat(state, replace(sat_config(state), heads=fixture.config.get("nhead", NANO.heads)))
    head = load_text_head(cleaned(fixture.state("text_head")))
    given = fixture.inputs
    asked = fixture.config["shapes"]["outputs"]["logits_stride1"][1]
    with torch.no_grad():
        query = head(given["text_pooled"], given["modality"])
        seen = net.encode(given["image"])
        logits = net.decode(seen, query[None, :asked], scales=len(seen.maps))
    return {
        "query": query,
        **{f"logits_stride{2**n}": logit for n, logit in enumerate(logits)},
        "memory_tokens": seen.memory.unflatten(1, seen.grid),
        "pos_embedding": position_code(seen.grid, net.config.query_dim)[:, None],
    }
