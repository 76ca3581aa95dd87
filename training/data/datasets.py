"""Every data set, and how pictures are made from those that are label maps."""

from __future__ import annotations

from collections.abc import Mapping

from ..bodies import hra_phantom, torso_phantom
from ..bodies.appearance import Appearance
from ..cases import Dataset
from . import (
    acdc,
    amos_maps,
    brain,
    btcv,
    example_ct,
    hippocampus,
    kits_masks,
    mni_meshnet,
    mni_template,
    other_kinds,
    sarcoma,
)

DATASETS: Mapping[str, Dataset] = {
    dataset.name: dataset
    for dataset in (
        acdc.DATASET,
        amos_maps.DATASET,
        brain.DATASET,
        btcv.DATASET,
        example_ct.DATASET,
        hippocampus.DATASET,
        hra_phantom.DATASET,
        kits_masks.DATASET,
        mni_meshnet.DATASET,
        mni_template.DATASET,
        other_kinds.DATASET,
        sarcoma.MR,
        sarcoma.PET,
        torso_phantom.DATASET,
    )
}


APPEARANCES: Mapping[str, Appearance] = {
    "amos_maps": amos_maps.APPEARANCE,
    "brain": brain.APPEARANCE,
    "hra_phantom": hra_phantom.APPEARANCE,
    "kits_masks": kits_masks.APPEARANCE,
    "torso_phantom": hra_phantom.APPEARANCE,
}
