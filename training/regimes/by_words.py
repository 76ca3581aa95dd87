"""The objectives there are: segment by words, and segment a fixed list of structures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from ...imaging.errors import BadCall
from ...models.backbones.network import SegmentationNetwork, SegOutput
from ...models.language.satmini.network import SatMini
from ...models.language.satmini.queried import QueriedBackbone
from ...models.text.encoders import known_vectors
from ...retrieval.anatomy.structures import StructureTable
from ..objective import LABELLED, MODEL, Batches, Objective, Roles, State
from .losses import at_sides, over_scales
from .row import Lesson


@dataclass(frozen=True)
class TextPrompted(Objective):
    """Segment by words: each step asks for every structure by a random one of its names.

    Also asks for structures that are certainly absent, whose mask must stay empty. Loss per
    scale: binary cross-entropy + soft Dice (`losses.over_scales`).
    Source: SAT (arXiv 2312.17183), losses and positive/negative queries.

    Attributes:
        structures: name -> label values.
        vectors: every name and synonym -> its unit text vector.
        names: structure -> itself and its synonyms.
        absent: structures to ask for in vain.
        negatives: how many absent ones per step.
        queries: at most so many structures per step, drawn at random; 0 asks for all.
        balance: see `balanced_cross_entropy`.
    """

    structures: Mapping[str, tuple[int, ...]]
    vectors: Mapping[str, torch.Tensor]
    names: Mapping[str, Sequence[str]]
    absent: Sequence[str] = ()
    negatives: int = 2
    queries: int = 0
    balance: float = 0.0

    name = "text-prompted"
    paper = "SAT, arXiv 2312.17183"

    def losses(self, phase: str, roles: Roles, batches: Batches, state: State) -> Mapping[str, torch.Tensor]:
        """Terms "cross_entropy" and "dice"."""
        model, batch, rng = roles[MODEL], batches[LABELLED], state.rng
        if not isinstance(model, SatMini | QueriedBackbone):
            raise TypeError(f"text-prompted training needs a network that takes text, got {type(model).__name__}")
        wanted = list(self.structures)
        if 0 < self.queries < len(wanted):
            wanted = [wanted[i] for i in rng.permutation(len(wanted))[: self.queries]]
        asked = [str(rng.choice(self.names[name])) for name in wanted]
        drawn = rng.permutation(len(self.absent))[: self.negatives]
        asked += [str(rng.choice(self.names[self.absent[i]])) for i in drawn]
        text = torch.stack([self.vectors[term] for term in asked]).to(batch.images.device)
        scales = model.supervised(batch.images, text)
        logits, weights = [one for one, _ in scales], [weight for _, weight in scales]
        values = [self.structures[name] for name in wanted] + [()] * len(drawn)
        targets = [masks_of(at_sides(batch.labels, one.shape[2:]), values) for one in logits]
        return over_scales(logits, targets, self.balance, weights)


@dataclass(frozen=True)
class Supervised(Objective):
    """Segment a fixed list of structures: one output channel each, no words.

    The network answers a `SegOutput`, whose side answers are supervised with their own weights; terms of its own are added.

    Attributes:
        structures: name -> label values, in the order of the channels; they may share labels.
        balance: see `balanced_cross_entropy`.
    """

    structures: Mapping[str, tuple[int, ...]]
    balance: float = 0.0

    name = "supervised"
    paper = "U-Net, Ronneberger et al. 2015, with deep supervision as nnU-Net, Isensee et al. 2021"

    def losses(self, phase: str, roles: Roles, batches: Batches, state: State) -> Mapping[str, torch.Tensor]:
        """Terms "cross_entropy" and "dice", and the network's own."""
        batch, model = batches[LABELLED], roles[MODEL]
        said: SegOutput = model(batch.images)
        scales = [said.logits, *(one.logits for one in said.aux)]
        if scales[0].shape[1] != len(self.structures):
            raise BadCall(
                f"The network has {scales[0].shape[1]} output channels, but {len(self.structures)} structures are "
                "taught. Make them equal."
            )
        values = list(self.structures.values())
        targets = [masks_of(at_sides(batch.labels, one.shape[2:]), values) for one in scales]
        terms = over_scales(scales, targets, self.balance, [1.0, *(one.weight for one in said.aux)])
        return terms | dict(model.own_losses(said, targets[0]) if isinstance(model, SegmentationNetwork) else {})


def masks_of(labels: torch.Tensor, values: Sequence[tuple[int, ...]]) -> torch.Tensor:
    """Floats (b n x y z): 1 where a label of (b x y z) is among the n-th values; no values give an empty mask."""
    masks = [torch.isin(labels, torch.tensor(some, device=labels.device, dtype=labels.dtype)) for some in values]
    return torch.stack(masks, dim=1).float()


def teach_words(lesson: Lesson) -> TextPrompted:
    """The objective "text" over a lesson's structures, with all their synonyms."""
    absent = sorted(set(lesson.absent) - set(lesson.structures))
    names = names_of([*lesson.structures, *absent])
    vectors = known_vectors()
    return TextPrompted(
        structures=lesson.structures,
        vectors={term: torch.from_numpy(vectors[term]) for terms in names.values() for term in terms},
        names=names,
        absent=absent,
        negatives=int(lesson.number("negatives")),
        queries=int(lesson.number("queries")),
        balance=lesson.number("balance"),
    )


def teach_channels(lesson: Lesson) -> Supervised:
    """The objective "supervised"."""
    return Supervised(structures=lesson.structures, balance=lesson.number("balance"))


def names_of(structures: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
    """Structure -> itself and its synonyms; itself comes as often as all synonyms together."""
    table = StructureTable.bundled()
    names = {}
    for name in structures:
        synonyms = table.resolve(name).synonyms
        names[name] = (name,) * max(1, len(synonyms)) + tuple(synonyms)
    return names
