"""What a model is, before anything of it is loaded. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from ..imaging.volume import MODALITIES

Purpose = Literal["any", "research-only"]
Weights = Literal["bundled", "hub", "user-file", "engine", "none"]
Fidelity = Literal["parity", "structural", "reconstruction", "library", "own", "external"]
IntensityKind = Literal["ct-hu", "percentile", "suv"]


@dataclass(frozen=True)
class Measured:
    """How well a structure was found on held-out cases.

    Attributes:
        dice: mean over the cases, in [0, 1].
        low, high: 95 % interval of that mean.
        atlas: mean Dice of the trivial baseline, the best single atlas copied over.
        cases: how many held-out cases.
    """

    dice: float
    low: float
    high: float
    atlas: float
    cases: int


@dataclass(frozen=True)
class Card:
    """One entry of the catalogue: what a model takes, knows, costs and may be used for.

    Attributes:
        name: what callers pass as `model`.
        title: one line for people.
        system: the published system, or "ostensor" for our own networks.
        paper: reference of that system.
        task: what it does; "segment" takes structure names and returns masks.
        modalities: what it was made for (`imaging.volume.Modality`).
        dimensions: 3 takes volumes; 2 takes a single slice; (2, 3) works slice by slice.
        vocabulary: canonical names it was taught.
        claimed: those that beat the trivial baseline on held-out cases; only these are offered.
        open_text: True when any term may be asked.
        takes_context: True when a sentence on modality and region (T1) may be given beside the terms.
        spacing_mm: voxel size it works at along x, y, z; None when it is set by the image's size.
        memory_mb: estimate of what a process needs to answer one request, in MiB.
        licence: of the weights, as written.
        purpose: "research-only" when the licence forbids or does not clearly allow other use.
        weights: where they come from; "engine" for an engine of the user's, "none" when a bundled file is missing here.
        weights_file: file name below `models/weights` (bundled), or the published file's name.
        sha256: of that file; empty when unknown.
        size_bytes: of that file; 0 when unknown.
        fidelity: how near we are to the published system: "parity" (official weights give the official
            outputs), "structural" (built as published), "reconstruction" (parts were never published),
            "library" (a library's own network), "own" (our own network, nobody has published it), "external" (an
            engine of the user's, which we only call).
        deviations: what differs from it, one sentence each.
        text_encoder: what turns a term into the vector this model expects.
        intensity: "ct-hu" for Hounsfield units, "suv" for PET uptake, "percentile" for what has no unit.
        region: parts of the body whose scans it understands.
        field_mm: shortest and longest extent of a scan it understands; a network taught on crops
            sees things everywhere in a whole head.
        notes: anything else a user should know.
        channels: what each of several images on one grid is, in order; () for one image.
        preferred: structures the user wants from it first; "*" for all.
        measured: structure -> its result on held-out cases; ours, never a published score.
        plausible_ml: structure -> lowest and highest volume in millilitres seen in the data.
        facts: the whole file beside the weights, for provenance and for building the network.
    """

    name: str
    title: str
    system: str
    paper: str
    task: str
    modalities: tuple[str, ...]
    dimensions: tuple[int, ...]
    memory_mb: int
    licence: str
    purpose: Purpose
    weights: Weights
    weights_file: str
    fidelity: Fidelity
    text_encoder: str
    intensity: IntensityKind
    region: tuple[str, ...]
    vocabulary: tuple[str, ...] = ()
    claimed: tuple[str, ...] = ()
    open_text: bool = False
    spacing_mm: tuple[float, float, float] | None = None
    sha256: str = ""
    size_bytes: int = 0
    field_mm: tuple[float, float] = (0.0, 10_000.0)
    takes_context: bool = False
    deviations: tuple[str, ...] = ()
    notes: str = ""
    channels: tuple[str, ...] = ()
    preferred: tuple[str, ...] = ()
    measured: Mapping[str, Measured] = field(default_factory=dict, hash=False)
    plausible_ml: Mapping[str, tuple[float, float]] = field(default_factory=dict, hash=False)
    facts: Mapping[str, Any] = field(default_factory=dict, hash=False, repr=False)

    def __post_init__(self) -> None:
        """Refuse a card that contradicts itself; a mistake in the catalogue, not of a caller."""
        checks = {
            "modalities": set(self.modalities) <= set(MODALITIES) and bool(self.modalities),
            "dimensions": set(self.dimensions) <= {2, 3} and bool(self.dimensions),
            "purpose": self.purpose in get_args(Purpose),
            "weights": self.weights in get_args(Weights),
            "fidelity": self.fidelity in get_args(Fidelity),
            "intensity": self.intensity in get_args(IntensityKind),
            "claimed": set(self.claimed) <= set(self.vocabulary),
            "memory_mb": self.memory_mb > 0,
        }
        wrong = [name for name, fine in checks.items() if not fine]
        if wrong:
            raise ValueError(f"The card '{self.name}' is wrong in: {', '.join(wrong)}.")

    def takes_extent(self, extent_mm: float | None) -> bool:
        """Whether a scan of this longest extent (None: unknown) is of the kind it was taught."""
        return extent_mm is None or self.field_mm[0] <= extent_mm <= self.field_mm[1]

    def is_preferred(self, structure: str) -> bool:
        """Whether the user wants a structure from it first."""
        return structure in self.preferred or "*" in self.preferred

    @property
    def is_ready(self) -> bool:
        """True when its weights lie here, so that it can be asked at once."""
        if self.weights == "engine":
            return bool(self.facts.get("is_here"))
        return self.weights == "bundled" or (self.weights == "user-file" and bool(self.sha256))
