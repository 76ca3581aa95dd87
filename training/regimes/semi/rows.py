"""Objectives that learn from few labels or from themselves, and losses of theirs with official numbers. Torch-free."""

from __future__ import annotations

from ....models.parity import Against
from ..row import Loss, ObjectiveRow

_BOTH = ("labelled", "unlabelled")
_CLASSES = "Every structure is a problem of two classes of its own, as structures may overlap; with one it is theirs."
_RATE = "AdamW and the schedule of the run instead of SGD."
_FIRST = "The first network is exported, and not what several say together."

OBJECTIVES: tuple[ObjectiveRow, ...] = (
    ObjectiveRow(
        "dsd",
        "regimes.semi.dsd:teach",
        False,
        {"temperature": 3.0, "distillation": 1.0, "detach_teacher": 0.0},
        system="DSD",
        number=58,
        source="Dual self-distillation of U-shaped networks, ISBI 2024; soumbane/DualSelfDistillation",
        fidelity="structural",
        deviations=(
            _CLASSES,
            "Heads are a pointwise convolution and linear interpolation instead of chains of transposed convolutions.",
            "Six pairs are added and teachers get their gradient, as the code has it; detach_teacher = 1 spares them.",
            "No hint loss between maps.",
        ),
    ),
    ObjectiveRow(
        "bcp",
        "regimes.semi.bcp:teach",
        False,
        {"pretrained": 0.25, "pseudo": 0.5, "decay": 0.99},
        system="BCP",
        number=59,
        source="Bai et al. 2023, arXiv 2305.00673; DeepMed-Lab-ECNU/BCP",
        fidelity="structural",
        deviations=(
            _CLASSES,
            _RATE,
            "Both stages are of one schedule, so the rate does not start again.",
            "The last place of a box may be drawn too.",
            "The teacher answers with running statistics.",
        ),
        streams=_BOTH,
    ),
    ObjectiveRow(
        "tracoco",
        "regimes.semi.tracoco:teach",
        False,
        {"mode": "paper", "grown": 0.4, "seed": 1.0},
        system="TraCoCo",
        number=60,
        source="Liu et al. 2022, arXiv 2203.14523; yyliu01/TraCoCo",
        fidelity="structural",
        deviations=(
            _CLASSES,
            _RATE,
            _FIRST,
            "The KL divergence runs over classes, and the negative part over classes that the peer finds unlikely; "
            'mode = "released" takes an axis of space, clamped logits and the least probability as the code does.',
            "Each network sees one of the two crops, which have three quarters of the patch's sides.",
            "Both networks have the same shape.",
        ),
        streams=_BOTH,
    ),
    ObjectiveRow(
        "c3s3",
        "regimes.semi.c3s3:teach",
        False,
        {"mode": "paper", "consistency": 0.1, "grown": 0.4, "seed": 1.0},
        system="C3S3",
        number=61,
        source="Y-TARL/C3S3, by a description of the code",
        fidelity="structural",
        deviations=(
            _CLASSES,
            _RATE,
            _FIRST,
            "Both networks have the shape of the run's backbone, instead of a V-Net and a residual one.",
            "Views differ in contrast, brightness and noise.",
            "All that is learned without labels has one weight that grows.",
            'Voxels outside of a mask add nothing to the contrast; mode = "released" lets each add 1, as the code does.',
        ),
        streams=_BOTH,
    ),
    ObjectiveRow(
        "umct",
        "regimes.semi.umct:teach",
        False,
        {"peers": 3.0, "passes": 8.0, "consistency": 0.2, "grown": 0.4, "seed": 1.0},
        system="UMCT",
        number=33,
        source="Xia et al. 2020, arXiv 1811.12506; no code seen",
        fidelity="reconstruction",
        deviations=(
            _CLASSES,
            _RATE,
            _FIRST,
            "Kernels are those of the run's backbone, neither flat nor taught on pictures first.",
            "Channels are dropped behind every norm for the variance, in networks made without dropout.",
            "The variance is meaned over structures and at least 0.001.",
        ),
        streams=_BOTH,
    ),
    ObjectiveRow(
        "cfcnet",
        "regimes.semi.cfcnet:teach",
        False,
        {"cut": 0.25, "consistency": 1.0, "grown": 0.4, "decay": 0.99},
        system="CFC-Net",
        number=62,
        source="CFC-Net; only its abstract was read",
        fidelity="reconstruction",
        deviations=(
            _CLASSES,
            "Bands are a Gaussian low-pass at a quarter of the highest frequency and what it leaves.",
            "The teacher is the slow mean of both students' weights, which begin alike.",
            "Consistency is the mean squared difference of probabilities.",
            "What is mixed is the least certain box of half the sides, from the image of the batch that is surest there.",
        ),
        streams=_BOTH,
    ),
    ObjectiveRow(
        "dsaif",
        "regimes.semi.dsaif:teach",
        False,
        {"consistency": 1.0, "grown": 0.4, "seed": 1.0},
        system="DSAIF",
        number=63,
        source="Dual structure-aware image filterings; no code seen",
        fidelity="reconstruction",
        deviations=(
            _CLASSES,
            _RATE,
            _FIRST,
            "Labelled scans are shown unfiltered too, as the exported network sees its scans unfiltered.",
            "Views are filtered after their intensities were varied, patch by patch, and not once per scan.",
        ),
        streams=_BOTH,
    ),
)
LOSSES: tuple[Loss, ...] = (
    Loss("BCP losses", "regimes.semi.bcp", (Against("DeepMed-Lab-ECNU/BCP"),)),
    Loss("DSD losses", "regimes.semi.dsd", (Against("soumbane/DualSelfDistillation"),)),
    Loss("TraCoCo losses", "regimes.semi.tracoco", (Against("yyliu01/TraCoCo"),)),
)
