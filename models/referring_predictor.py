"""FLanS and LSMS on whole scans: every axial slice as displayed, sentences in, masks on the scan's own grid.

FLanS keeps its image features, so further sentences only pay for the decoder; LSMS mixes words in from the
first block on and looks at the picture anew for every sentence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch

from ..imaging.errors import BadCall, Unavailable
from ..imaging.volume import Grid, Modality, Volume
from .card import Card
from .flans import Flans, FlansFeatures
from .flans_symmetry import ELEMENTS, TURNS_ONLY, chosen
from .interface import Cancelled, Decoded, Features, Orientation, Pointing, Progress, Referred
from .lsms import Lsms
from .pictures import Float, Frame, displayed, frame_of, framed, shown_index, undisplayed, unframed
from .sentences import States, family_of, names_a_side

LONGEST = 1000  # characters of a sentence
_AT_ONCE = 8  # pictures per pass
TURNED_BACK = "The picture was found {what} and was set upright before looking; the mask is on the picture as given."
UNSURE_SIDE = "The file tells no orientation, so left and right rest on how the picture looks."
CUT = "Only the first words of this long sentence were read."


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


@dataclass
class ReferringScan:
    """A scan as square pictures, and FLanS's features of those that were asked about.

    Attributes:
        pictures: (slices size size) in [0, 1].
        kept: (slice, group of symmetries) -> features.
    """

    pictures: Float
    frames: tuple[Frame, ...]
    grid: Grid
    modality: Modality
    kept: dict[tuple[int, str], FlansFeatures] = field(default_factory=dict)

    @property
    def nbytes(self) -> int:
        """Bytes of pictures and features."""
        tensors = [t for one in self.kept.values() for t in (one.embedding, *one.fine)]
        return self.pictures.nbytes + sum(t.numel() * t.element_size() for t in tensors)


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
        return [self._one(features, text, states, row, slices, how) for row, text in enumerate(sentences)]

    def _one(
        self, scan: ReferringScan, text: str, states: States, row: int, slices: Sequence[int], how: Pointing
    ) -> Referred:
        allowed = self._allowed(scan, text, how.orientation)
        values = torch.from_numpy(states.values[row]).to(self.device)
        valid = torch.from_numpy(states.valid[row]).to(self.device)
        shown = np.zeros((len(scan.pictures), *scan.frames[0].shape), dtype=np.bool_)
        inside, peak, elements = [], -30.0, []
        with torch.inference_mode():
            for number, logits, element in self._logits(scan, slices, values, valid, allowed):
                found = unframed(logits, scan.frames[number])
                shown[number] = found > 0
                inside.append(found[found > 0])
                peak = max(peak, float(logits.max()))
                elements.append(element)
        sure = np.concatenate(inside)
        usual = max(set(elements), key=elements.count) if allowed is not None else None
        return Referred(
            text,
            undisplayed(shown, scan.grid),
            float(_sigmoid(sure).mean()) if sure.size else 0.0,
            float(_sigmoid(np.float32(peak))),
            family=family_of(text),
            element=usual,
            notes=tuple(_notes(scan, text, usual, allowed, bool(states.cut[row]))),
        )

    def _logits(
        self,
        scan: ReferringScan,
        slices: Sequence[int],
        values: torch.Tensor,
        valid: torch.Tensor,
        allowed: tuple[int, ...] | None,
    ) -> Iterator[tuple[int, Float, int]]:
        """(slice, logits of its square, element) of one sentence."""
        for first in range(0, len(slices), _AT_ONCE):
            part = list(slices[first : first + _AT_ONCE])
            if isinstance(self._net, Flans):
                features = self._looked(self._net, scan, part, allowed)
                logits = self._net.decode(features, values.expand(len(part), -1, -1))[:, 0]
                found = features.weights.argmax(1).tolist() if features.weights is not None else [0] * len(part)
            else:
                picture = self._pictures(scan, part)
                output = self._net(picture, values.expand(len(part), -1, -1), valid.expand(len(part), -1))
                logits, found = output.logits, [0] * len(part)
            yield from zip(part, logits.cpu().numpy(), found, strict=True)

    def _looked(
        self, net: Flans, scan: ReferringScan, part: Sequence[int], allowed: tuple[int, ...] | None
    ) -> FlansFeatures:
        """Features of some slices, from memory or made now."""
        group = "" if allowed is None else ",".join(map(str, allowed))
        new = [number for number in part if (number, group) not in scan.kept]
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


def _notes(
    scan: ReferringScan, text: str, element: int | None, allowed: tuple[int, ...] | None, cut: bool
) -> Iterator[str]:
    if element:
        turned = f"turned by {90 * (element % 4)} degrees" if element % 4 else ""
        what = " and ".join(part for part in ("mirrored" if element >= 4 else "", turned) if part)
        yield TURNED_BACK.format(what=what)
    if names_a_side(text) and not scan.grid.spacing_known and (allowed is None or len(allowed) == ELEMENTS):
        yield UNSURE_SIDE
    if cut:
        yield CUT


def _sigmoid(logit: npt.NDArray[np.float32] | np.float32) -> npt.NDArray[np.float32]:
    return np.asarray(1 / (1 + np.exp(-np.clip(logit, -30, 30))), dtype=np.float32)
