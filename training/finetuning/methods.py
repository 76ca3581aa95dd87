"""The ways to teach a SAM classes, one row each: which network, which objective, what it may begin with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ...imaging.errors import BadCall
from ...models.labelled.finetunesam.network import ClassSam, ClassSamConfig
from ...models.labelled.finetunesam.network import merge as merge_sam
from ...models.labelled.sss.network import SssConfig, SssNet
from ...models.rows import row_of
from ..objective import LABELLED, UNLABELLED, Objective
from .by_classes import ByClasses
from .weak_to_strong import WeakToStrong


@dataclass(frozen=True)
class Method:
    """A way to teach.

    Attributes:
        configure: sizes from a configuration's `[network]` with the number of classes.
        build: the network of these sizes, with random weights.
        objective: from the options.
        options: keys a configuration may set, with their defaults.
        starts: models of the catalogue whose weights it may begin with.
        exported: what users get of a taught network.
        streams: of data; "unlabelled" needs scans whose outlines are not looked at.
    """

    name: str
    configure: Callable[[Mapping[str, Any]], Any]
    build: Callable[[Any], Any]
    objective: Callable[[Mapping[str, Any]], Objective]
    options: Mapping[str, Any] = field(default_factory=dict)
    starts: tuple[str, ...] = ()
    exported: Callable[[Any], Any] = lambda net: net
    streams: tuple[str, ...] = (LABELLED,)


METHODS: tuple[Method, ...] = (
    Method(
        "finetune-sam",
        ClassSamConfig.from_json,
        ClassSam,
        lambda options: ByClasses(options["dice_of"]),
        {"dice_of": "sigmoid"},
        ("sam", "medsam"),
        merge_sam,
    ),
    Method(
        "sss",
        SssConfig.from_json,
        SssNet,
        lambda options: WeakToStrong(options["threshold"], options["weight"], options["grown"]),
        {"threshold": 0.95, "weight": 1.0, "grown": 0.4},
        ("sam2", "medsam2"),
        streams=(LABELLED, UNLABELLED),
    ),
)


def method(name: str) -> Method:
    """The row of this name.

    Raises:
        BadCall: there is none; the nearest is offered.
    """
    return row_of(METHODS, name, "method")


def check_options(row: Method, options: Mapping[str, Any]) -> None:
    """Refuse values that mean nothing.

    Raises:
        BadCall: one does.
    """
    if options.get("dice_of", "sigmoid") not in ("sigmoid", "softmax"):
        raise BadCall(f"'{options['dice_of']}' is not among sigmoid, softmax. Change `dice_of`.")
    for key in ("threshold", "grown"):
        if key in row.options and not 0 <= options[key] <= 1:
            raise BadCall(f"`{key}` is {options[key]}. It is a share: give 0 to 1.")
