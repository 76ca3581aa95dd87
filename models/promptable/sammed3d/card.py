"""Card of SAM-Med3D. Torch-free."""

from __future__ import annotations

from ...card import Card

CARDS = (
    Card(
        name="sam-med3d",
        title="SAM-Med3D-turbo: clicks in a volume, published weights brought by the user",
        system="SAM-Med3D",
        paper="Wang et al. 2023, SAM-Med3D, arXiv 2310.15161",
        task="refine",
        modalities=("ct", "mr", "us"),
        dimensions=(3,),
        memory_mb=1_800,
        licence="Apache-2.0",
        purpose="any",
        weights="user-file",
        weights_file="sam_med3d_turbo.pth",
        fidelity="parity",
        text_encoder="none; it is pointed at",
        intensity="percentile",
        region=("head", "neck", "thorax", "abdomen", "pelvis", "limbs"),
        spacing_mm=(1.5, 1.5, 1.5),
        deviations=(
            "The view is centred on what was pointed at; the original centres it on the true mask, which nobody has.",
            "Axes run as torchio's, x y z to the right, the front and the head; the published file was not at hand to check it.",
            "Between voxels the mask is cut where the logits are 0; the original rounds to the nearest voxel.",
        ),
        notes="One look takes ten seconds to half a minute on a CPU. Boxes are not understood: the released code has none either.",
    ),
)
