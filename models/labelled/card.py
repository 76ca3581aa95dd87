"""Cards of the published networks with a fixed list of classes. Torch-free."""

from __future__ import annotations

from ..card import Card

# What `meshnet.py` knows; repeated here because that file imports torch. A test compares both.
MESHNET_STRUCTURES = (
    "cerebral white matter", "cerebral cortex", "lateral ventricles", "cerebellum", "thalami", "caudate nuclei",
    "putamina", "pallida", "third ventricle", "fourth ventricle", "brain stem", "hippocampi", "amygdalae",
)  # fmt: skip

# What `obelisk.py` knows, for the same reason.
OBELISK_STRUCTURES = (
    "spleen", "pancreas", "left kidney", "gallbladder", "esophagus", "liver", "stomach", "duodenum",
)  # fmt: skip

MESHNET = (
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
)
OBELISK = (
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
)
