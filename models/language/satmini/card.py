"""Cards of the bundled networks that are asked by words. Torch-free.

What training found out about each (claims, Dice, hash) is added by `models/catalogue.py`.
"""

from __future__ import annotations

from typing import Any

from ...card import Card


def _bundled(name: str, *, weights_of: str = "", **facts: Any) -> Card:
    return Card(
        name=name,
        system="ostensor",
        paper="none; own network (models/language/satmini), asked by text vectors as SAT (arXiv 2312.17183)",
        task="segment",
        weights="none",
        weights_file=f"{weights_of or name}.safetensors",
        fidelity="own",
        text_encoder="MiniLM",
        **facts,
    )


# memory_mb: interpreter, torch and the network of a process that has not seen an image; models/memory.py adds the image.
CARDS: tuple[Card, ...] = (
    _bundled(
        "sat-mini-hippocampus",
        title="Hippocampus in T1 MR, front and back part",
        modalities=("mr",),
        dimensions=(3,),
        memory_mb=440,
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
        memory_mb=440,
        licence="CC BY-NC-SA 4.0",
        purpose="research-only",
        intensity="percentile",
        region=("thorax",),
        notes="Sees the next slice on each side, however far; a single picture is its own neighbour.",
    ),
    _bundled(
        "sat-mini-abdomen-2d",
        title="Abdominal organs in axial CT, slice by slice",
        modalities=("ct",),
        dimensions=(2, 3),
        memory_mb=440,
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
        memory_mb=440,
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
        memory_mb=440,
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
        memory_mb=440,
        licence="Apache-2.0",
        purpose="any",
        intensity="percentile",
        region=("head",),
        field_mm=(110.0, 400.0),
        notes="Trained on pictures made from one labelled head.",
    ),
    _bundled(
        "hippocampus-in-head",
        weights_of="sat-mini-hippocampus",
        title="Hippocampi in T1 MR of the head: found by the brain network, drawn by the hippocampus network",
        modalities=("mr",),
        dimensions=(3,),
        memory_mb=460,
        licence="CC BY-SA 4.0",
        purpose="any",
        intensity="percentile",
        region=("head",),
        field_mm=(110.0, 400.0),
        notes="Two bundled networks, one after the other; it has no weights of its own.",
    ),
    _bundled(
        "sat-mini-sarcoma-pet",
        title="Soft-tissue sarcoma of the limbs in FDG PET",
        modalities=("pet",),
        dimensions=(3,),
        memory_mb=440,
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
        memory_mb=440,
        licence="CC BY 3.0",
        purpose="any",
        intensity="percentile",
        region=("limb",),
        field_mm=(60.0, 400.0),
        notes="Expects a crop around the tumour, as its data.",
    ),
)
