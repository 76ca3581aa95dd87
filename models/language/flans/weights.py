"""The authors' FLanS checkpoint: its layout understood, everything else refused.

Layout (spec §8): a dict whose "model" holds `image_encoder.*`, `mask_decoder.*`, `prompt_encoder.*` with the text
tower inside, `text_classification_head.*`, and `canonicalization_network.*`, which is of another library
(steerable filters) and is set aside. The matrix of the position code must be in the file: the released code never
loaded SAM's, so no other matrix fits these weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors.torch import load_file

from ....imaging.errors import BadCall
from ...blocks.sam.sizes import read_decoder_config, read_encoder_config, select_part
from ...card import Card
from ...checkpoints import Tensors, fill, full_precision, read_checkpoint
from ...interface import Running
from ...parity import Fixture
from ...text.sentences import SentenceEncoder
from ..referring.predictor import ReferringPredictor, SentenceReader
from .decoder import DecoderConfig
from .image import EncoderConfig
from .network import OFFICIAL, Flans, FlansConfig
from .predictor import ClipReader, FlansPointer
from .text import TowerConfig

TOKENIZER_FOLDER = "clip"  # below the user's weights folder: the tokenizer's files of CLIP ViT-B/16
State = dict[str, torch.Tensor]
_PE = "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"
_TOWER = "prompt_encoder.text_encoder."
_SET_ASIDE = "canonicalization_network."
_POSITION_IDS = "embeddings.position_ids"  # a counter that older transformers saved


@dataclass(frozen=True)
class LoadedFlans:
    """A network from a checkpoint.

    Attributes:
        set_aside: how many tensors of the steerable canonicaliser were left out.
    """

    net: Flans
    set_aside: int


def cleaned(state: Mapping[str, torch.Tensor]) -> State:
    """Under the names of `Flans`: no wrapper prefix, no counters, the tower's inner prefix present."""
    found: State = {}
    for key, value in state.items():
        name = key.removeprefix("module.")
        if name.endswith(_POSITION_IDS):
            continue
        if name.startswith(_TOWER) and not name.startswith(f"{_TOWER}text_model."):
            name = f"{_TOWER}text_model.{name.removeprefix(_TOWER)}"
        found[name] = value.float() if value.is_floating_point() else value
    return found


def flans_config(state: Mapping[str, torch.Tensor], like: FlansConfig = OFFICIAL) -> FlansConfig:
    """The sizes of a clean state dict; heads of decoder and tower, which leave no trace, are taken from `like`.

    Raises:
        BadCall: no FLanS checkpoint, or one without the matrix of its position code.
    """
    try:
        config = FlansConfig(
            encoder=EncoderConfig(**vars(read_encoder_config(select_part(state, "image_encoder.")))),
            decoder=DecoderConfig(
                **vars(
                    read_decoder_config(
                        select_part(state, "mask_decoder."), select_part(state, "prompt_encoder."), like.decoder.heads
                    )
                )
            ),
            tower=_tower_config(state, like.tower or TowerConfig()),
            text=state["prompt_encoder.text_encoder_head.weight"].shape[1],
            tokens=state[f"{_TOWER}text_model.embeddings.position_embedding.weight"].shape[0],
            intentions=len(state["text_classification_head.bias"]) if "text_classification_head.bias" in state else 0,
            pooling=like.pooling,
            scorer=None,
        )
    except KeyError as error:
        raise BadCall(
            f"This is no FLanS checkpoint: {error} is missing. Give the file of SegmentAsYouWish as downloaded."
        ) from None
    if _PE not in state:
        raise BadCall(
            f"The checkpoint lacks '{_PE}'. The network was trained with that very random matrix, so SAM's cannot "
            "replace it. Give the authors' original file."
        )
    return config


def _tower_config(state: Mapping[str, torch.Tensor], like: TowerConfig) -> TowerConfig:
    vocabulary, width = state[f"{_TOWER}text_model.embeddings.token_embedding.weight"].shape
    layers = [key for key in state if key.startswith(_TOWER) and key.endswith("mlp.fc1.weight")]
    return replace(
        like,
        vocabulary=vocabulary,
        width=width,
        hidden=state[f"{_TOWER}text_model.encoder.layers.0.mlp.fc1.weight"].shape[0],
        layers=len(layers),
        tokens=state[f"{_TOWER}text_model.embeddings.position_embedding.weight"].shape[0],
    )


def load_flans(state: Mapping[str, torch.Tensor], like: FlansConfig = OFFICIAL) -> LoadedFlans:
    """The network of a checkpoint's tensors, in evaluation mode and without a canonicaliser.

    Raises:
        BadCall: keys are missing or unexpected, or shapes differ.
    """
    clean = cleaned(state)
    kept = {key: value for key, value in clean.items() if not key.startswith(_SET_ASIDE)}
    config = flans_config(kept, like)
    with torch.device("meta"):
        net = Flans(config)
    return LoadedFlans(fill(net, kept, "the authors' original file"), len(clean) - len(kept))


def convert(card: Card, files: Sequence[Path]) -> Tensors:
    """The authors' file under our names, without its canonicaliser.

    Raises:
        BadCall: it is something else.
    """
    net = load_flans(cleaned(read_checkpoint(files[0]))).net
    return {key: value.contiguous() for key, value in net.state_dict().items()}


def load(card: Card, path: Path, how: Running) -> ReferringPredictor:
    """The bundled small FLanS with MiniLM as its language side, or the user's with the CLIP tower inside it."""
    if card.weights == "user-file":
        net = load_flans(load_file(path)).net
        reader: SentenceReader = ClipReader(net, path.parent / TOKENIZER_FOLDER)
    else:
        net = Flans(FlansConfig.from_json(card.facts["network"]))
        net.load_state_dict(full_precision(path))
        reader = SentenceEncoder()
    return ReferringPredictor(FlansPointer(net, device=how.device), reader, card)


def reproduce(fixture: Fixture) -> Tensors:
    """Our outputs on a fixture of the official code; also those for points, a box, a mask and words together."""
    sizes, words = fixture.sizes, fixture.config["text_config"]
    like = FlansConfig(
        decoder=DecoderConfig(heads=sizes["decoder_num_heads"]),
        tower=TowerConfig(heads=words["num_attention_heads"]),
        pooling=sizes["text_pooling"],
    )
    net = load_flans(fixture.state(), like).net
    given, prompts, side = fixture.inputs, net.prompt_encoder, net.config.encoder.grid
    with torch.no_grad():
        states = net.read(given["tokens"].long())
        features = net.encode(given["image"])
        code = prompts.pe_layer.of_grid(side)
        alone = net.mask_decoder(features.embedding, code, prompts.words(states), prompts.dense(len(states), side))
        marks = [
            prompts.points(given["extra_points"], given["extra_point_labels"], with_box=True),
            prompts.boxes(given["extra_boxes"]),
            prompts.words(states),
        ]
        sparse, dense = torch.cat(marks, dim=1), prompts.dense(len(states), side, given["extra_mask"])
        extra = net.mask_decoder(features.embedding, code, sparse, dense, ambiguous=True)
        return {
            "low_res_logits": net.decode(features, states),
            "class_logits": net.intentions(states),
            "iou": alone[1],
            "extra_low_res_logits": extra[0],
            "extra_iou": extra[1],
            "clip_last_hidden_state": states,
            "image_embedding": features.embedding,
            "text_prompts": prompts.words(states),
            "dense_pe": code,
            "extra_sparse": sparse,
        }
