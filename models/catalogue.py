"""Every model this project knows, as cards. Torch-free.

What training found out about a bundled network (vocabulary, measured Dice, hash) stands in the
JSON file beside its weights; it is read on the first question, not at import.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import platformdirs

from ..imaging.errors import BadCall, Failed
from .card import Card, Measured, Purpose

WEIGHTS_FOLDER = Path(__file__).parent / "weights"
USER_FOLDER = platformdirs.user_data_path("ostensor", appauthor=False) / "weights"  # weights the user imported
_PERMISSIONS: Mapping[str, tuple[Purpose, ...]] = {"any": ("any",), "research-only": ("any", "research-only")}


def _bundled(name: str, **facts: Any) -> Card:
    return Card(
        name=name,
        system="ostensor",
        paper="none; own network (models/late_fusion.py), asked by text vectors as SAT (arXiv 2312.17183)",
        task="segment",
        weights="none",
        weights_file=f"{name}.safetensors",
        fidelity="library",
        text_encoder="MiniLM",
        **facts,
    )


# What `models/meshnet.py` knows; repeated here because that file imports torch. A test compares both.
MESHNET_STRUCTURES = (
    "cerebral white matter", "cerebral cortex", "lateral ventricles", "cerebellum", "thalami", "caudate nuclei",
    "putamina", "pallida", "third ventricle", "fourth ventricle", "brain stem", "hippocampi", "amygdalae",
)  # fmt: skip

# What `models/obelisk.py` knows, for the same reason.
OBELISK_STRUCTURES = (
    "spleen", "pancreas", "left kidney", "gallbladder", "esophagus", "liver", "stomach", "duodenum",
)  # fmt: skip

# memory_mb: interpreter, torch and features of an image of the usual size, rounded up.
ENTRIES: tuple[Card, ...] = (
    _bundled(
        "sat-mini-hippocampus",
        title="Hippocampus in T1 MR, front and back part",
        modalities=("mr",),
        dimensions=(3,),
        memory_mb=900,
        licence="CC BY-SA 4.0",
        purpose="any",
        intensity="percentile",
        region=("head",),
        field_mm=(20.0, 80.0),
        notes="Expects a crop around one hippocampus, as the data it was trained on.",
    ),
    _bundled(
        "sat-mini-cardiac",
        title="Heart chambers in short-axis cine MR, slice by slice",
        modalities=("mr",),
        dimensions=(2, 3),
        memory_mb=900,
        licence="CC BY-NC-SA 4.0",
        purpose="research-only",
        intensity="percentile",
        region=("thorax",),
    ),
    _bundled(
        "sat-mini-abdomen-2d",
        title="Abdominal organs in axial CT, slice by slice",
        modalities=("ct",),
        dimensions=(2, 3),
        memory_mb=1200,
        licence="not verified",
        purpose="research-only",
        intensity="ct-hu",
        region=("abdomen",),
    ),
    _bundled(
        "sat-mini-torso",
        title="Organs and bones of the torso in CT",
        modalities=("ct",),
        dimensions=(3,),
        memory_mb=1600,
        licence="CC BY 4.0",
        purpose="any",
        intensity="ct-hu",
        region=("thorax", "abdomen", "pelvis"),
        notes="Trained on pictures made from two reference bodies, not on patients.",
    ),
    _bundled(
        "sat-mini-torso-maps",
        title="Organs of the torso in CT, taught by patients' label maps too; to be trained by the user",
        modalities=("ct",),
        dimensions=(3,),
        memory_mb=1600,
        licence="CC BY-NC-SA 4.0",
        purpose="research-only",
        intensity="ct-hu",
        region=("thorax", "abdomen", "pelvis"),
        notes="Trained on pictures made from label maps, not on patients' scans.",
    ),
    _bundled(
        "sat-mini-brain",
        title="Parts of the brain in T1 MR of the head",
        modalities=("mr",),
        dimensions=(3,),
        memory_mb=1600,
        licence="Apache-2.0",
        purpose="any",
        intensity="percentile",
        region=("head",),
        field_mm=(110.0, 400.0),
        notes="Trained on pictures made from one labelled head.",
    ),
    _bundled(
        "sat-mini-sarcoma-pet",
        title="Soft-tissue sarcoma of the limbs in FDG PET",
        modalities=("pet",),
        dimensions=(3,),
        memory_mb=900,
        licence="CC BY 3.0",
        purpose="any",
        intensity="suv",
        region=("limb",),
        field_mm=(60.0, 400.0),
        notes="Expects SUV and a crop around the tumour, as its data; elsewhere it also marks organs that take up FDG.",
    ),
    _bundled(
        "sat-mini-sarcoma-mr",
        title="Soft-tissue sarcoma of the limbs in T1 MR",
        modalities=("mr",),
        dimensions=(3,),
        memory_mb=900,
        licence="CC BY 3.0",
        purpose="any",
        intensity="percentile",
        region=("limb",),
        field_mm=(60.0, 400.0),
        notes="Expects a crop around the tumour, as its data.",
    ),
    Card(
        name="meshnet",
        title="MeshNet: brain tissues and nuclei in T1 MR, published weights brought by the user",
        system="MeshNet",
        paper="Fedorov et al. 2017, End-to-end learning of brain tissue segmentation, arXiv 1612.00940",
        task="segment",
        modalities=("mr",),
        dimensions=(3,),
        memory_mb=3_000,
        licence="not stated by the authors (the application brainchop is MIT)",
        purpose="research-only",
        weights="user-file",
        weights_file="model.pth",
        fidelity="parity",
        text_encoder="none; a fixed list of classes",
        intensity="percentile",
        region=("head",),
        deviations=("Scans of any axis order and size are turned into its cube, and masks back onto the scan.",),
        vocabulary=MESHNET_STRUCTURES,
        claimed=MESHNET_STRUCTURES,
        field_mm=(110.0, 400.0),
        notes="Tells no sides. Not measured by us on people's outlines.",
    ),
    Card(
        name="obelisk",
        title="OBELISK: organs of the abdomen in CT, published weights brought by the user",
        system="OBELISK",
        paper="Heinrich et al. 2019, OBELISK-Net, Medical Image Analysis 54",
        task="segment",
        modalities=("ct",),
        dimensions=(3,),
        memory_mb=2_500,
        licence="MIT",
        purpose="any",
        weights="user-file",
        weights_file="obeliskhybrid_tcia_fold1.pth",
        fidelity="parity",
        text_encoder="none; a fixed list of classes",
        intensity="ct-hu",
        region=("abdomen",),
        deviations=(
            "Scans of any axis order and size are stretched to its cube, and masks come back onto the scan.",
            "Of the eight organs it was taught, only those it finds well here are offered.",
        ),
        vocabulary=OBELISK_STRUCTURES,
        claimed=("spleen", "liver", "gallbladder"),
        field_mm=(200.0, 450.0),
        notes="Expects a scan that shows the abdomen and little else.",
    ),
    # Source of both: specs of SAT, arXiv 2312.17183; the published GPU memory of one window.
    Card(
        name="sat-nano",
        title="SAT Nano: 497 structures by terms, published weights brought by the user",
        system="SAT",
        paper="Zhao et al. 2023, One Model to Rule them All, arXiv 2312.17183",
        task="segment",
        modalities=("ct", "mr", "pet"),
        dimensions=(3,),
        memory_mb=24_000,
        licence="not stated by the authors",
        purpose="research-only",
        weights="user-file",
        weights_file="SAT_Nano_UNET.pth",
        fidelity="parity",
        text_encoder="BioLORD-2023-C",
        intensity="percentile",
        region=("whole body",),
        open_text=True,
        spacing_mm=(1.0, 1.0, 3.0),
        deviations=("Masks come back on the scan's own grid; the original leaves them on the resampled crop.",),
    ),
    Card(
        name="sat-pro",
        title="SAT Pro: 497 structures by terms, published weights brought by the user",
        system="SAT",
        paper="Zhao et al. 2023, One Model to Rule them All, arXiv 2312.17183",
        task="segment",
        modalities=("ct", "mr", "pet"),
        dimensions=(3,),
        memory_mb=34_000,
        licence="not stated by the authors",
        purpose="research-only",
        weights="user-file",
        weights_file="SAT_Pro.pth",
        fidelity="structural",
        text_encoder="BioLORD-2023-C",
        intensity="percentile",
        region=("whole body",),
        open_text=True,
        spacing_mm=(1.0, 1.0, 3.0),
        deviations=("Masks come back on the scan's own grid; the original leaves them on the resampled crop.",),
    ),
)


@cache
def catalogue(folder: Path = WEIGHTS_FOLDER) -> tuple[Card, ...]:
    """Every card, completed from the files beside the bundled weights in `folder`.

    Raises:
        Failed: two cards have one name, or a file beside the weights is damaged.
    """
    return tuple(_completed(entry, folder) for entry in unique(ENTRIES))


def __getattr__(name: str) -> tuple[Card, ...]:
    """`CATALOGUE` is `catalogue()`, so that importing this file opens none."""
    if name == "CATALOGUE":
        return catalogue()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def unique(entries: Iterable[Card]) -> tuple[Card, ...]:
    """The entries, all of them, when their names differ.

    Raises:
        Failed: a name occurs twice.
    """
    found: dict[str, Card] = {}
    for entry in entries:
        if entry.name in found:
            raise Failed(f"The catalogue holds '{entry.name}' twice. Names must be unique. Rename one.")
        found[entry.name] = entry
    return tuple(found.values())


def card(name: str, *, folder: Path = WEIGHTS_FOLDER) -> Card:
    """The card of a model.

    Raises:
        BadCall: no such model; the three nearest names are offered.
    """
    known = {entry.name: entry for entry in catalogue(folder)}
    if name not in known:
        near = difflib.get_close_matches(name.lower(), known, n=3, cutoff=0.0)
        offered = ", ".join(f"'{n}'" for n in near)
        raise BadCall(
            f"Unknown model '{name}'. {len(known)} are known, closest: {offered}. Call list_models to see all."
        )
    return known[name]


def models_for(
    structure: str,
    modality: str | None = None,
    dims: int | None = None,
    *,
    extent_mm: float | None = None,
    purpose: Purpose = "research-only",
    folder: Path = WEIGHTS_FOLDER,
) -> tuple[Card, ...]:
    """Models that are ready here and claim a structure, the best measured first.

    Args:
        structure: canonical name.
        modality: of the image; None or "unknown" matches every model.
        dims: 3 for a volume, 2 for a single slice; None matches every model.
        extent_mm: longest side of the image; None matches every model.
        purpose: what the answer is for; "any" leaves out models for research only.
    """
    fitting = [
        entry
        for entry in catalogue(folder)
        if entry.is_ready
        and structure in entry.claimed
        and (modality in (None, "unknown") or modality in entry.modalities)
        and (dims is None or dims in entry.dimensions)
        and entry.takes_extent(extent_mm)
        and entry.purpose in _PERMISSIONS[purpose]
    ]
    return tuple(sorted(fitting, key=lambda entry: (-_dice(entry, structure), entry.memory_mb)))


def _dice(entry: Card, structure: str) -> float:
    measured = entry.measured.get(structure)
    return measured.dice if measured else 0.0


def _completed(entry: Card, folder: Path) -> Card:
    """A bundled entry with the facts of its file; unchanged (weights "none") when the files are missing."""
    if entry.weights == "user-file":
        return _imported(entry)
    if entry.weights != "none":
        return entry
    beside = folder / f"{entry.name}.json"
    if not beside.is_file() or not (folder / entry.weights_file).is_file():
        return entry
    try:
        facts = json.loads(beside.read_text(encoding="utf-8"))
        return replace(
            entry,
            weights="bundled",
            vocabulary=tuple(facts["vocabulary"]),
            claimed=tuple(facts["claimed"]),
            spacing_mm=_spacing(facts),
            licence=facts.get("licence", entry.licence),
            purpose=facts.get("purpose", entry.purpose),
            sha256=facts["sha256"],
            size_bytes=(folder / entry.weights_file).stat().st_size,
            measured=_measured(facts.get("metrics", {})),
            plausible_ml={name: (low, high) for name, (low, high) in facts.get("plausible_ml", {}).items()},
            facts=facts,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise Failed(
            f"The file {beside.name} beside the weights is damaged ({type(error).__name__}: {error}). "
            "It must hold vocabulary, claimed and sha256. Export the network again with `ostensor fit --export`."
        ) from error


def _imported(entry: Card) -> Card:
    """A card whose weights the user has imported, with their hash; unchanged when they have not."""
    beside, weights = USER_FOLDER / f"{entry.name}.json", USER_FOLDER / f"{entry.name}.safetensors"
    if not beside.is_file() or not weights.is_file():
        return entry
    facts = json.loads(beside.read_text(encoding="utf-8"))
    return replace(
        entry, weights_file=str(weights), sha256=facts["sha256"], size_bytes=weights.stat().st_size, facts=facts
    )


def forget_cards() -> None:
    """Read the files beside the weights again on the next question."""
    catalogue.cache_clear()


def _measured(metrics: Mapping[str, Mapping[str, Any]]) -> dict[str, Measured]:
    return {
        name: Measured(row["dice"], row["low"], row["high"], row["atlas"], row["cases"])
        for name, row in metrics.items()
    }


def _spacing(facts: Mapping[str, Any]) -> tuple[float, float, float] | None:
    values = facts.get("spacing_mm")
    if not values:
        return None
    x, y, z = values
    return float(x), float(y), float(z)
