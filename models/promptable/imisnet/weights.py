"""The authors' IMIS-Net: its layout understood, everything else refused.

Layout: `image_encoder.sam_encoder.*` under timm's names for SAM's encoder, whose own neck is not used, `image_encoder.neck.*`,
`prompt_encoder.*`, `mask_decoder.*` with semantic tokens, `text_out_dim.*`, and the frozen `text_model.*` of CLIP (words.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import load_file

from ....imaging.errors import BadCall
from ...blocks.sam.resizing import resize_tables
from ...blocks.sam.sam import PARTS, Given
from ...blocks.sam.sizes import HEADS, State, read_decoder_config, read_encoder_config, select_part
from ...card import Card
from ...checkpoints import Tensors, fill, read_checkpoint
from ...interface import Running
from ...parity import Fixture
from ..colours import ColourHand, Habits
from ..flat import FlatPredictor, Marks
from ..places import stretch
from .network import ImisConfig, ImisNet
from .words import FOLDER, NameReader, load_tower, select_tower

FILE = "the authors' IMISNet-B.pth"
EPS = 1e-5  # of timm's norms over tokens, by their outputs
SIZE = 1024  # pixels per side at test time; the training script has 256
_TIMM = "image_encoder.sam_encoder."
_ASIDE = (f"{_TIMM}neck.", "text_model.", "image_encoder.pixel_", "pixel_")


def rename_weights(state: State) -> dict[str, torch.Tensor]:
    """Under SAM's own names, without CLIP and the neck that is not used."""
    found = {}
    for key, value in state.items():
        name = key.removeprefix("module.")
        if name.startswith(_ASIDE):
            continue
        name = (
            name.replace(_TIMM, "image_encoder.").replace(".mlp.fc1.", ".mlp.lin1.").replace(".mlp.fc2.", ".mlp.lin2.")
        )
        found[name] = value
    return found


def load_imisnet(state: State, size: int = SIZE, heads: int = HEADS) -> ImisNet:
    """The network with these weights, for pictures of `size` pixels per side.

    Args:
        state: under the authors' names or those of `rename_weights`.

    Raises:
        BadCall: another network, a plain SAM among them.
    """
    own = rename_weights(state)
    encoder, prompts, decoder = (select_part(own, part) for part in PARTS)
    if "semantic_tokens.weight" not in decoder:
        raise BadCall(f"This is no IMIS-Net: its decoder has no semantic tokens. Give {FILE}.")
    try:
        encoder = resize_tables(encoder, size)
        config = ImisConfig(
            replace(read_encoder_config(encoder), eps=EPS),
            read_decoder_config(decoder, prompts, heads),
            own["text_out_dim.weight"].shape[1],
            _widths(decoder),
        )
    except KeyError as error:
        raise BadCall(f"This is no IMIS-Net checkpoint: {error} is missing. Give {FILE}.") from None
    with torch.device("meta"):
        net = ImisNet(config)
    return fill(net, own | {f"image_encoder.{key}": value for key, value in encoder.items()}, FILE)


def _widths(decoder: State) -> tuple[int, ...]:
    layers = [value for key, value in sorted(decoder.items()) if key.startswith("semantic_prediction_head.layers.")]
    weights = [value for value in layers if value.dim() == 2]
    return weights[0].shape[1], *(value.shape[0] for value in weights)


def convert(card: Card, files: Sequence[Path]) -> Tensors:
    """The authors' file under SAM's names, at the size it was taught, with the CLIP tower inside it.

    Raises:
        BadCall: it is something else, or its tower is not CLIP's.
    """
    state = read_checkpoint(files[0])
    found, tower = load_imisnet(state).state_dict(), select_tower(state)
    try:
        words = load_tower(tower, FILE).state_dict() if tower else {}
    except KeyError as error:
        raise BadCall(f"The text tower inside is not CLIP's: {error} is missing. Give {FILE}.") from None
    return found | {f"text_model.{key}": value.contiguous() for key, value in words.items()}


class PointedImis:
    """The network without names, as `colours.PictureNet`: the best of three masks."""

    def __init__(self, net: ImisNet) -> None:
        self._net = net

    def encode(self, picture: torch.Tensor) -> torch.Tensor:
        """See `ImisNet.encode`."""
        return self._net.encode(picture)

    def decode(
        self, features: torch.Tensor, given: Given, *, ambiguous: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """All three masks, whatever is asked: the authors always choose among them."""
        found = self._net.decode(features, given)
        return found.logits, found.iou


class NamedHand(ColourHand):
    """The network with names."""

    def __init__(self, net: ImisNet, habits: Habits, device: str, reader: NameReader | None) -> None:
        super().__init__(PointedImis(net), habits, device)
        self._named, self._reader = net, reader

    def ask(
        self, features: torch.Tensor, given: Given, marks: Marks, *, ambiguous: bool
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Also by a name, alone or beside other prompts."""
        if not marks.words or self._reader is None:
            return super().ask(features, given, marks, ambiguous=ambiguous)
        found = self._named.decode(features, given, self._reader.read([marks.words]))
        return found.logits, found.iou


def load(card: Card, path: Path, how: Running) -> FlatPredictor:
    """The network with the user's weights; it takes names where the file held the tower."""
    state = load_file(path)
    tower = select_tower(state)
    net = load_imisnet(state).to(how.device)
    reader = NameReader(load_tower(tower, FILE).to(how.device), path.parent / FOLDER) if tower else None
    size, tokens = net.config.encoder.size, net.config.encoder.grid
    takes = frozenset({"point", "-point", "box", "mask", *(["text"] if tower else [])})
    habits = Habits(size, tokens, stretch, takes, nearest=True, masks="three")
    return FlatPredictor(NamedHand(net, habits, how.device, reader), card)


def reproduce(fixture: Fixture) -> Tensors:
    """Our outputs on a fixture of the official code: by points, box, name, and all of them with a mask."""
    sizes, given = fixture.sizes, fixture.inputs
    net = load_imisnet(fixture.state(), given["image"].shape[-1], sizes.get("decoder_num_heads", HEADS))
    points, labels, boxes, pooled = given["points"], given["labels"], given["boxes"], given["text_pooled"]
    found: Tensors = {}
    with torch.no_grad():
        embedding = net.encode(given["image"])
        for name, prompts, text in (
            ("points", Given(points, labels), None),
            ("box", Given(boxes=boxes), None),
            ("text", Given(), pooled),
            ("all", Given(points, labels, boxes, given["mask_input"]), pooled),
        ):
            best = net.decode(embedding, prompts, text).best()
            found[f"low_res_{name}"], found[f"iou_{name}"], found[f"semantic_{name}"] = (
                best.logits,
                best.iou,
                best.semantic,
            )
        found["text"] = net.text_out_dim(pooled)
    return found | {"embedding": embedding}
