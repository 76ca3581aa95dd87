"""DuPLUS checkpoints brought by the user: network and text tower, LoRA merged away, refused when something else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from ....imaging.errors import BadCall, Unavailable
from ...card import Card
from ...checkpoints import Tensors, read_checkpoint
from ...interface import Running
from ...parity import Fixture
from ...text.encoders import CachedEncoder, Vector, tokens_of
from .network import load_duplus
from .predictor import DuplusPredictor

TOWER_FOLDER = "clipmd"  # below the user's weights folder: config and tokenizer of the CLIP text tower
_TOWER = "text_encoder."
_LORA_ALPHA = 128.0  # Source: spec §3


class ClipTextEncoder:
    """The text half of a CLIP model from a folder, its pooled output (512 for ClipMD); at most 77 tokens.

    Args:
        folder: config, tokenizer and, unless `state` is given, weights, as transformers saves them.
        state: weights of the tower to use instead.

    Raises:
        Unavailable: the folder is not there or not complete.
        BadCall: `state` is of another tower.
    """

    MAX_TOKENS = 77

    def __init__(self, folder: Path, *, state: Mapping[str, torch.Tensor] | None = None) -> None:
        from transformers import AutoTokenizer, CLIPTextConfig, CLIPTextModel

        if not folder.is_dir():
            raise Unavailable(
                f"The CLIP text tower is not here. Save ClipMD's config and tokenizer to the folder '{folder.name}' "
                "beside the imported weights."
            )
        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            if state:
                self._model: Any = CLIPTextModel(CLIPTextConfig.from_pretrained(folder, local_files_only=True))
            else:
                self._model = CLIPTextModel.from_pretrained(folder, local_files_only=True)
        except (OSError, ValueError) as error:
            raise Unavailable("The folder of the CLIP text tower is not complete. Get all its files.") from error
        if state:
            _load(self._model, state)
        self._model.eval()
        self.name, self.size = "ClipMD", int(self._model.config.hidden_size)

    def encode(self, terms: Sequence[str]) -> Vector:
        """See `TextEncoder`."""
        tokens = tokens_of(self._tokenizer, terms, self.MAX_TOKENS)
        with torch.inference_mode():
            pooled: Vector = self._model(**tokens).pooler_output.numpy()
        return pooled


def _load(model: Any, state: Mapping[str, torch.Tensor]) -> None:
    """Weights into the tower, whether or not its names carry the prefix of the library's older layout."""
    wanted = set(model.state_dict())
    prefixed = any(name.startswith("text_model.") for name in wanted)
    plain = {name.removeprefix("text_model."): value for name, value in state.items()}
    given = {f"text_model.{name}" if prefixed else name: value for name, value in plain.items()}
    given = {name: value for name, value in given.items() if not name.endswith("position_ids")}
    missing, extra = sorted(wanted - set(given)), sorted(set(given) - wanted)
    missing = [name for name in missing if not name.endswith("position_ids")]
    if missing or extra:
        raise BadCall(
            f"The checkpoint's text tower does not fit: '{(missing + extra)[0]}' differs. Use its own config."
        )
    model.load_state_dict(given, strict=False)


def tower_state(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The CLIP text tower in a DuPLUS checkpoint, adapters merged; empty when it holds none.

    The published layout is peft's: base_model.model.<name>.base_layer.weight, .lora_A.default.weight,
    .lora_B.default.weight; the scale is `_LORA_ALPHA` over the rank of the matrices.
    """
    names = {key.removeprefix("module."): value for key, value in state.items()}
    mine = {
        key.removeprefix(_TOWER).removeprefix("base_model.model."): value.float()
        for key, value in names.items()
        if key.startswith(_TOWER) and value.is_floating_point()
    }
    mine = {key[key.index("text_model.") :]: value for key, value in mine.items() if "text_model." in key}
    found = {}
    for key, value in mine.items():
        if ".lora_" in key:
            continue
        stem = key.removesuffix(".base_layer.weight")
        down, up = mine.get(f"{stem}.lora_A.default.weight"), mine.get(f"{stem}.lora_B.default.weight")
        if stem != key and down is not None and up is not None:
            value = value + (_LORA_ALPHA / down.shape[0]) * up @ down
        found[key.replace(".base_layer.", ".")] = value
    return found


def convert(card: Card, files: Sequence[Path]) -> Tensors:
    """The authors' file as network and text tower.

    Raises:
        BadCall: it is something else.
    """
    state = read_checkpoint(files[0])
    parts: dict[str, Mapping[str, torch.Tensor]] = {"net": load_duplus(state).state_dict(), "words": tower_state(state)}
    return {f"{part}.{key}": value.contiguous() for part, tensors in parts.items() for key, value in tensors.items()}


def load(card: Card, path: Path, how: Running) -> DuplusPredictor:
    """DuPLUS with the user's checkpoint; config and tokenizer of its text tower lie beside it."""
    state = load_file(path)
    tower = {key.removeprefix("words."): value for key, value in state.items() if key.startswith("words.")}
    net = load_duplus({key.removeprefix("net."): v for key, v in state.items() if key.startswith("net.")})
    encoder = ClipTextEncoder(path.parent / TOWER_FOLDER, state=tower or None)
    words = CachedEncoder(encoder, path.parent / f"vectors-{card.sha256[:12]}.npz")
    return DuplusPredictor(net, words, card, device=how.device)


def reproduce(fixture: Fixture) -> Tensors:
    """Our outputs on a fixture of the official code, either modulation; its texts come as vectors."""
    net = load_duplus(fixture.state())
    given = fixture.inputs
    with torch.no_grad():
        seen = net.encode(given["image"], given["modality"].tolist(), given["context_text"])
        return {
            "logits": net.decode(seen, given["target_text"]),
            "gap": seen.pooled[:, :, None, None, None],
            "controller_params": net.head_parameters(seen.pooled, given["target_text"]),
        }
