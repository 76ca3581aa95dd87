"""FLanS and LSMS on whole scans: every axial slice as displayed, sentences in, masks on the scan's own grid.

FLanS keeps its image features, so further sentences only pay for the decoder; LSMS mixes words in from the
first block on and looks at the picture anew for every sentence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from ..imaging.errors import BadCall, Unavailable
from ..imaging.volume import Grid, Volume
from .card import Card
from .flans import Flans, FlansFeatures
from .flans_symmetry import ELEMENTS, TURNS_ONLY, chosen
from .interface import Cancelled, Decoded, Features, Orientation, Pointing, Progress, Referred
from .lsms import Lsms
from .pictures import Float, displayed, frame_of, framed, shown_index
from .referring_scan import Answer, ReferringScan
from .sentences import States, family_of

LONGEST = 1000  # characters of a sentence
_AT_ONCE = 8  # pairs of sentence and picture per pass


class SentenceReader(Protocol):
    """Something that turns sentences into token states."""

    def states(self, sentences: Sequence[str]) -> States:
        """States and their valid places."""


class ClipReader:
    """CLIP's tokenizer and the text tower inside a published FLanS; every sentence is filled up to 77 tokens.

    Raises:
        Unavailable: the tokenizer's files are not in `folder`.
    """

    def __init__(self, net: Flans, folder: Path) -> None:
        from transformers import CLIPTokenizer

        try:
            self._tokenizer: Any = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
        except (OSError, ValueError) as error:
            raise Unavailable(
                f"The tokenizer of CLIP ViT-B/16 is not here. Put its files into the folder '{folder.name}' beside the weights."
            ) from error
        self._net = net

    def states(self, sentences: Sequence[str]) -> States:
        """See `SentenceReader`; padding is read like words, as FLanS was taught."""
        length = self._net.config.tokens
        texts = list(sentences)
        tokens = self._tokenizer(texts, padding="max_length", truncation=True, max_length=length, return_tensors="pt")
        with torch.inference_mode():
            values = self._net.read(tokens["input_ids"].to(self._net.prompt_encoder.text_encoder_head.weight.device))
        lengths = [len(one) for one in self._tokenizer(texts)["input_ids"]]
        valid = tokens["attention_mask"].bool().numpy()
        return States(values.cpu().numpy(), valid, np.array(lengths) > length)


class ReferringPredictor:
    """A loaded FLanS or LSMS with its language side.

    Args:
        size: side of the square pictures; FLanS's own where it is one.
        upright: modalities whose upright look the canonicaliser was taught.
    """

    def __init__(
        self,
        net: Flans | Lsms,
        reader: SentenceReader,
        card: Card,
        *,
        size: int = 128,
        device: str = "cpu",
        upright: Sequence[str] = ("ct", "unknown"),
    ) -> None:
        self.card, self._reader, self._upright = card, reader, upright
        self.device = torch.device(device)
        self._net = net.eval().to(self.device)
        self.size = net.config.encoder.size if isinstance(net, Flans) else size
        self.engine = f"torch {self.device.type} fp32"

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
        allowed = [self._allowed(features, text, how.orientation) for text in sentences]
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
            values = torch.from_numpy(states.values[rows]).to(self.device)
            if isinstance(self._net, Flans):
                features = self._looked(self._net, scan, part, allowed)
                logits = self._net.decode(features, values)[:, 0]
                found = features.weights.argmax(1).tolist() if features.weights is not None else [0] * len(part)
            else:
                valid = torch.from_numpy(states.valid[rows]).to(self.device)
                logits, found = self._net(self._pictures(scan, part), values, valid).logits, [0] * len(part)
            yield from zip(rows, part, logits.cpu().numpy(), found, strict=True)

    def _looked(
        self, net: Flans, scan: ReferringScan, part: Sequence[int], allowed: tuple[int, ...] | None
    ) -> FlansFeatures:
        """Features of some slices, from memory or made now."""
        group = "" if allowed is None else ",".join(map(str, allowed))
        new = [number for number in dict.fromkeys(part) if (number, group) not in scan.kept]
        if new:
            picture, weights = self._pictures(scan, new), None
            if allowed is not None:
                may = torch.tensor([g in allowed for g in range(ELEMENTS)], device=self.device)
                weights = chosen(net.scores(picture), may).round()
            made = net.encode(picture, weights)
            for row, number in enumerate(new):
                scan.kept[number, group] = _row(made, row)
        kept = [scan.kept[number, group] for number in part]
        weights = None if allowed is None else torch.cat([one.weights for one in kept if one.weights is not None])
        fine = tuple(torch.cat(maps) for maps in zip(*(one.fine for one in kept), strict=True))
        return FlansFeatures(torch.cat([one.embedding for one in kept]), fine, weights)

    def _pictures(self, scan: ReferringScan, part: Sequence[int]) -> torch.Tensor:
        return torch.from_numpy(scan.pictures[list(part)])[:, None].expand(-1, 3, -1, -1).to(self.device)

    def _allowed(self, scan: ReferringScan, text: str, orientation: Orientation) -> tuple[int, ...] | None:
        """Elements the canonicaliser may choose from; None switches it off."""
        if not isinstance(self._net, Flans) or self._net.config.scorer is None:
            return None
        if orientation == "auto":
            orientation = "header" if scan.grid.spacing_known else "unknown"
        if orientation == "header" or family_of(text) != "anatomy" or scan.modality not in self._upright:
            return None
        return TURNS_ONLY if orientation == "picture" else tuple(range(ELEMENTS))


def _row(features: FlansFeatures, row: int) -> FlansFeatures:
    here = slice(row, row + 1)
    weights = None if features.weights is None else features.weights[here]
    return FlansFeatures(features.embedding[here].clone(), tuple(one[here].clone() for one in features.fine), weights)


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
