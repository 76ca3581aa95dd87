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
    sarcoma_mr,
    sarcoma_pet,
)

DATASETS: Mapping[str, Dataset] = {
    module.DATASET.name: module.DATASET
    for module in (
        acdc,
        amos_maps,
        brain,
        btcv,
        example_ct,
        hippocampus,
        hra_phantom,
        kits_masks,
        mni_meshnet,
        mni_template,
        sarcoma_mr,
        sarcoma_pet,
        torso_phantom,
    )
}


APPEARANCES: Mapping[str, Appearance] = {
    "amos_maps": amos_maps.APPEARANCE,
    "brain": brain.APPEARANCE,
    "hra_phantom": hra_phantom.APPEARANCE,
    "kits_masks": kits_masks.APPEARANCE,
    "torso_phantom": hra_phantom.APPEARANCE,
}
