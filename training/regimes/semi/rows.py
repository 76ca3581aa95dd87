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
)
LOSSES: tuple[Loss, ...] = (
    Loss("BCP losses", "regimes.semi.bcp", (Against("DeepMed-Lab-ECNU/BCP"),)),
    Loss("DSD losses", "regimes.semi.dsd", (Against("soumbane/DualSelfDistillation"),)),
    Loss("TraCoCo losses", "regimes.semi.tracoco", (Against("yyliu01/TraCoCo"),)),
)
