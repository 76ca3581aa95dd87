"""Networks that read sentences, on whole scans: every axial slice as displayed, masks on the scan's own grid."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import numpy as np
import torch

from ....imaging.errors import BadCall
from ....imaging.volume import Grid, Volume
from ...card import Card
from ...inference.pictures import Float, displayed, frame_of, framed, shown_index
from ...interface import Cancelled, Decoded, Features, Orientation, Pointing, Progress, Referred
from ...text.sentences import States, family_of
from .scan import Answer, Pointed, ReferringScan

LONGEST = 1000  # characters of a sentence
_AT_ONCE = 8  # pairs of sentence and picture per pass


class SentenceReader(Protocol):
    """Something that turns sentences into token states."""

    def states(self, sentences: Sequence[str]) -> States:
        """States and their valid places."""


class Pointer(Protocol):
    """A network that marks what sentences point at in square pictures."""

    size: int
    device: torch.device

    def allowed(self, scan: ReferringScan, text: str, orientation: Orientation) -> tuple[int, ...] | None:
        """Symmetries of the square it may find a picture under; None when it looks for none."""

    def point(
        self,
        scan: ReferringScan,
        slices: Sequence[int],
        words: torch.Tensor,
        valid: torch.Tensor,
        allowed: tuple[int, ...] | None,
    ) -> Pointed:
        """One mask per pair of slice and sentence.

        Args:
            words: token states (n tokens width); `valid` (n tokens) says which are none of the padding.
        """


class ReferringPredictor:
    """A loaded network that reads sentences, with its language side."""

    def __init__(self, pointer: Pointer, reader: SentenceReader, card: Card) -> None:
        self.card, self._reader, self._pointer = card, reader, pointer
        self.size = pointer.size
        self.engine = f"torch {pointer.device.type} fp32"

    def encode(self, volume: Volume, *, progress: Progress, cancelled: Callable[[], bool]) -> ReferringScan:
        """Frame every slice; cheap, the networks look when asked."""
        shown = displayed(volume)
        frames, pictures = [], []
        for number, picture in enumerate(shown):
            if cancelled():
                raise Cancelled
            frames.append(frame_of(picture))
            pictures.append(framed(picture, frames[-1], self.size))
            progress((number + 1) / len(shown))
        return ReferringScan(np.stack(pictures), tuple(frames), volume.grid, volume.modality)

    def decode(self, features: Features, structures: Sequence[str]) -> list[Decoded]:
        """Terms as sentences, over the whole scan."""
        return list(self.refer(features, structures, Pointing("volume")))

    def refer(self, features: Features, sentences: Sequence[str], how: Pointing) -> list[Referred]:
        """See `interface.Refers`."""
        if not isinstance(features, ReferringScan):
            raise TypeError(f"features of another model: {type(features).__name__}")
        for sentence in sentences:
            _refuse_sentence(sentence, how, features.grid)
        states = self._reader.states(sentences)
        slices = _slices(features, how)
        allowed = [self._pointer.allowed(features, text, how.orientation) for text in sentences]
        answers = [Answer(features) for _ in sentences]
        with torch.inference_mode():
            for group in dict.fromkeys(allowed):
                pairs = [(row, number) for row, own in enumerate(allowed) if own == group for number in slices]
                for row, number, logits, element in self._logits(features, pairs, states, group):
                    answers[row].add(number, logits, element)
        return [
            answer.referred(text, allowed[row], cut=bool(states.cut[row]))
            for row, (text, answer) in enumerate(zip(sentences, answers, strict=True))
        ]

    def _logits(
        self,
        scan: ReferringScan,
        pairs: Sequence[tuple[int, int]],
        states: States,
        allowed: tuple[int, ...] | None,
    ) -> Iterator[tuple[int, int, Float, int]]:
        """(sentence, slice, logits of its square, element) of every pair of sentence and slice."""
        for first in range(0, len(pairs), _AT_ONCE):
            rows, part = (list(one) for one in zip(*pairs[first : first + _AT_ONCE], strict=True))
            words, valid = torch.from_numpy(states.values[rows]), torch.from_numpy(states.valid[rows])
            found = self._pointer.point(scan, part, words, valid, allowed)
            yield from zip(rows, part, found.logits, found.elements, strict=True)


def _refuse_sentence(sentence: str, how: Pointing, grid: Grid) -> None:
    if not sentence.strip():
        raise BadCall("The description is empty. Say in a few words what to find, for example 'the left kidney'.")
    if len(sentence) > LONGEST:
        raise BadCall(f"The description has {len(sentence)} characters; at most {LONGEST} are read. Shorten it.")
    family = family_of(sentence)
    if how.scope == "volume" and not grid.is_2d and family != "anatomy":
        raise BadCall(
            f"'{sentence[:60]}' points by {family} in a picture, which a whole scan is not: the largest part of a slice "
            "need not be the largest in 3-D. Use scope 'slice' with an index, or name the structure."
        )


def _slices(scan: ReferringScan, how: Pointing) -> list[int]:
    count = len(scan.pictures)
    if how.scope == "volume" or count == 1:
        return list(range(count))
    if how.index is None:
        raise BadCall(f"This scan has {count} slices and none was chosen. Give the slice's index, or scope 'volume'.")
    try:
        return [shown_index(scan.grid, how.index)]
    except IndexError:
        raise BadCall(f"There is no slice {how.index}. This scan has {count} slices, 0 to {count - 1}.") from None
