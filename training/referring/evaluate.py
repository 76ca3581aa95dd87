"""The figures of `ostensor eval referring`: how well sentences point, and what no words at all would give.

Every number is over held-out patients. "taught" wordings were seen in training, "new" ones were not.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from ...imaging.geometry import reorient_array
from ...imaging.masks.dice import dice
from ...imaging.volume import Grid, Volume
from ...models.blocks.square import ELEMENTS, apply_element
from ...models.interface import Orientation, Pointing
from .cases import Stack, Subject
from .engines import Engine, Sentences
from .metrics import Overlaps
from .pairs import Bool, Part, Referral

SEED = 7
MOVED = 8  # slices that are looked at under all eight symmetries
SHOWN = ("anatomy", "position", "size", "attribute")  # families with something to find
_PARTS: Mapping[str, Part] = {"taught": "train", "new": "test"}


@dataclass
class Tally:
    """Sums of one row of a table."""

    values: list[float] = field(default_factory=list)

    @property
    def mean(self) -> float | None:
        """None when nothing was counted."""
        return float(np.mean(self.values)) if self.values else None

    def __str__(self) -> str:
        return f"{self.mean:.3f} ({len(self.values)})" if self.values else "-"


Tallies = dict[tuple[str, ...], Tally]
AllOverlaps = dict[tuple[str, str], Overlaps]


def measure_slices(
    engine: Engine, every: Iterable[Subject], *, seed: int = SEED, overlaps: AllOverlaps | None = None
) -> Tallies:
    """Dice by (source, family, wording), and shares of right answers where nothing is to be found.

    Args:
        overlaps: takes up intersections and unions by (source, wording) of sentences with something to find.
    """
    tallies: Tallies = defaultdict(Tally)
    for subject in [one for one in every if engine.takes(one.volume)]:
        for wording, part in _PARTS.items():
            said = subject.refer(part, seed)
            masks = engine.point(subject.volume, [one.text for one in said])
            for one, mask in zip(said, masks, strict=True):
                if one.family in SHOWN:
                    tallies[subject.source, one.family, wording].values.append(dice(mask, one.mask))
                    tallies[subject.source, "found at all", wording].values.append(float(mask.any()))
                    if overlaps is not None:
                        overlaps.setdefault((subject.source, wording), Overlaps()).add(mask, one.mask)
                else:
                    tallies[subject.source, f"{one.family}: empty", wording].values.append(float(not mask.any()))
            for value in _other_sentence(said, masks):
                tallies[subject.source, "other sentence", wording].values.append(value)
            for value in _without_words(said):
                tallies[subject.source, "best single mask", wording].values.append(value)
    return dict(tallies)


def _other_sentence(said: Sequence[Referral], masks: Sequence[Bool]) -> list[float]:
    """Dice when every sentence gets the answer to the next sentence of another meaning: words not listened to."""
    rows = [n for n, one in enumerate(said) if one.family in SHOWN]
    found = []
    for place, n in enumerate(rows):
        others = [m for m in rows[place + 1 :] + rows[:place] if (said[m].mask != said[n].mask).any()]
        if others:
            found.append(dice(masks[others[0]], said[n].mask))
    return found


def _without_words(said: Sequence[Referral]) -> list[float]:
    """Dice of the one true mask of the slice that would answer all its sentences best: more than any network
    that does not read could hope for, as it is chosen with the truth in hand."""
    asked = [one.mask for one in said if one.family in SHOWN]
    if len(asked) < 2:
        return []
    options = [[dice(guess, truth) for truth in asked] for guess in asked]
    return max(options, key=sum)


def measure_sides(engine: Engine, every: Iterable[Subject], *, seed: int = SEED) -> Tallies:
    """Share of paired structures where the side that was named is the side that was drawn."""
    tallies: Tallies = defaultdict(Tally)
    for subject in [one for one in every if engine.takes(one.volume)]:
        said = {one.key: one for one in subject.refer("train", seed, families=["anatomy"])}
        for organ in ("kidney", "adrenal gland", "ventricle"):
            pair = [said.get(f"name:{side} {organ}") for side in ("left", "right")]
            if pair[0] is None or pair[1] is None:
                continue
            left, right = pair[0].mask, pair[1].mask
            for one, mask in zip(pair, engine.point(subject.volume, [one.text for one in pair if one]), strict=True):
                assert one is not None
                own, other = (left, right) if one is pair[0] else (right, left)
                tallies[organ,].values.append(float(dice(mask, own) > dice(mask, other)))
    return dict(tallies)


def measure_symmetry(engine: Sentences, every: Iterable[Subject], *, seed: int = SEED) -> Tallies:
    """Under each of the eight symmetries: Dice with the moved truth, agreement with the moved answer, element found."""
    tallies: Tallies = defaultdict(Tally)
    orientations: tuple[Orientation, ...] = ("unknown", "header") if engine.turns else ("header",)
    for subject in [one for one in every if one.source == "btcv"][:MOVED]:
        said = subject.refer("train", seed, families=["anatomy"])
        texts = [one.text for one in said]
        for orientation in orientations:
            upright = engine.point(subject.volume, texts, orientation)
            mode = "canonicaliser on" if orientation == "unknown" else "canonicaliser off"
            for element in range(ELEMENTS):
                masks = engine.point(_moved(subject.volume, element), texts, orientation)
                group = "upright" if element == 0 else "moved"
                for one, mask, before in zip(said, masks, upright, strict=True):
                    tallies[mode, group, "Dice"].values.append(dice(mask, _turned(one.mask, element)))
                    tallies[mode, group, "agreement"].values.append(dice(mask, _turned(before, element)))
                if orientation == "unknown" and engine.elements[0] is not None:
                    tallies[mode, group, "element"].values.append(float(engine.elements[0] == element))
    return dict(tallies)


def measure_stacks(engine: Sentences, every: Iterable[Stack]) -> Tallies:
    """Dice in 3-D of whole heart stacks, asked by name over the volume."""
    tallies: Tallies = defaultdict(Tally)
    for stack in every:
        scan = engine.predictor.encode(stack.volume, progress=lambda share: None, cancelled=lambda: False)
        found = engine.predictor.refer(scan, [f"the {name}" for name in stack.masks], Pointing("volume"))
        for (name, truth), one in zip(stack.masks.items(), found, strict=True):
            tallies[name,].values.append(dice(one.array, truth))
    return dict(tallies)


def _moved(volume: Volume, element: int) -> Volume:
    """The slice under an element, as a picture whose header tells nothing."""
    array, _ = reorient_array(volume.array, volume.grid, "LPS")
    shown = torch.from_numpy(np.ascontiguousarray(array[:, :, 0].T).astype(np.float32))
    moved = apply_element(element, shown).numpy().T[:, :, None]
    grid = Grid(moved.shape, np.diag([-1.0, -1.0, 1.0, 1.0]), spacing_known=False)
    return Volume(np.ascontiguousarray(moved), grid, volume.modality)


def _turned(mask: Bool, element: int) -> Bool:
    return np.asarray(apply_element(element, torch.from_numpy(mask)).numpy())
