"""Card of 3DSAM-adapter. Torch-free."""

from __future__ import annotations

from ...card import Card

CARDS = (
    Card(
        name="3dsam-adapter",
        title="3DSAM-adapter: clicks on one kind of tumour in CT, published weights brought by the user",
        system="3DSAM-adapter",
        paper="Gong et al. 2024, 3DSAM-adapter: Holistic Adaptation of SAM from 2D to 3D, Medical Image Analysis, arXiv 2306.13465",
        task="refine",
        modalities=("ct",),
        dimensions=(3,),
        memory_mb=7_500,
        licence="not stated by the authors (the SAM code inside is Apache-2.0)",
        purpose="research-only",
        weights="user-file",
        weights_file="best.pth.tar of one tumour",
        fidelity="parity",
        text_encoder="none; it is pointed at",
        intensity="ct-hu",
        region=("abdomen",),
        deviations=(
            "Intensities are cut at the view's own percentiles; the authors use constants of each data set.",
            "The view is centred on what was pointed at, at the scan's own voxel size.",
            "Clicks carry no label, as published; those that say what is not meant are refused.",
        ),
        notes="One file for each tumour (kidney, pancreas, liver, colon). One look takes minutes on a CPU. The released class for testing, in which depths start at 1, is the one here.",
    ),
)
