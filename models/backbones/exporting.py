"""Backbones as OpenVINO models of a fixed patch, which any program with OpenVINO runs without this library.

Every row of the table converts, which its test shows, and a model is compared with its network before it is handed out. Side answers
and maps are left behind. Nothing is written as ONNX: the packages for it are none of ours, and OpenVINO reads its own files without.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import nn

from ...imaging.errors import BadCall, Unavailable
from ..inference.converted import convert_to_openvino
from .network import SegmentationNetwork, in_use

TOLERANCE = 1e-3  # of the largest logit: float32 in another order of sums


@dataclass(frozen=True)
class Exported:
    """A network as OpenVINO has it.

    Attributes:
        model: `openvino.Model`; takes (1 channels x y z) or (1 channels x y) of float32, answers logits (1 classes ...).
        sides: of the patch.
        error: largest difference from the network's logits on noise, as a share of the largest logit.
    """

    model: Any
    sides: tuple[int, ...]
    error: float

    def save(self, path: Path) -> None:
        """Write `path` (.xml) and its weights beside it (.bin), in full precision.

        Raises:
            BadCall: the path does not end in .xml.
        """
        import openvino

        if path.suffix != ".xml":
            raise BadCall(f"'{path.name}' is no name for an OpenVINO model. Let it end in .xml.")
        path.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=path.parent) as passing:
            made = Path(passing) / path.name
            openvino.save_model(self.model, made, compress_to_fp16=False)
            made.with_suffix(".bin").replace(path.with_suffix(".bin"))
            made.replace(path)


class _Logits(nn.Module):
    """The logits alone."""

    def __init__(self, net: SegmentationNetwork) -> None:
        super().__init__()
        self.net = net

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """(b classes ...) of (b channels ...)."""
        return self.net.answer(image).logits


def export_network(net: SegmentationNetwork, sides: Sequence[int]) -> Exported:
    """A network in evaluation mode as an OpenVINO model of one patch; the network is left as it was.

    Args:
        sides: of the patch, multiples of the network's divisor and none below its least.

    Raises:
        BadCall: sides the network does not take.
        Unavailable: an operation of it is not converted, or the model answers otherwise than the network.
    """
    if len(sides) != net.dims or any(
        side < least or side % by for side, least, by in zip(sides, net.minimum, net.divisor, strict=True)
    ):
        raise BadCall(
            f"A patch of {' x '.join(map(str, sides))} does not fit: sides are multiples of "
            f"{' x '.join(map(str, net.divisor))} and at least {' x '.join(map(str, net.minimum))}. Give another."
        )
    noise = torch.Generator().manual_seed(0)
    image = torch.randn(1, net.channels, *sides, generator=noise)
    with in_use(net):
        model, error = _compared(_Logits(net), image)
    return Exported(model, tuple(sides), error)


def convert_fixed(net: nn.Module, image: torch.Tensor) -> Any:
    """Any module from an image to one tensor, in evaluation mode, as an OpenVINO model of the image's size.

    Raises:
        Unavailable: an operation of it is not converted, or the model answers otherwise than the module.
    """
    return _compared(net, image)[0]


def _compared(net: nn.Module, image: torch.Tensor) -> tuple[Any, float]:
    """The model, and its largest error on another image than was traced, whose numbers might have stayed in it."""
    other = image.flip(-1) * 3
    with torch.no_grad():
        model, expected = _converted(net, image), net(other)
    error = float((_run(model, other) - expected).abs().max() / expected.abs().max().clamp(min=1e-12))
    if not error <= TOLERANCE:
        raise Unavailable(
            f"The OpenVINO model is off by {error:.1e} of the network's largest logit; {TOLERANCE:.0e} is allowed. "
            "Use the network itself."
        )
    return model, error


def _converted(net: nn.Module, image: torch.Tensor) -> Any:
    """Traced; where the converter stumbles over that, as over MONAI's merging of patches, by way of `torch.export`."""
    said = []
    for route in (_traced, _graph):
        try:
            # that sides are fixed, that routes are old: known, and no reason to try the next
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found = route(net, image)
                return convert_to_openvino(found, example_input=image, input=[list(image.shape)])
        except Exception as error:  # converters raise what they like
            said.append((str(error).strip() or type(error).__name__).splitlines()[-1][:200])
    raise Unavailable(f"The network cannot be converted to OpenVINO ({'; '.join(said)}). Use the network itself.")


def _traced(net: nn.Module, image: torch.Tensor) -> Any:
    return torch.jit.trace(net, image, check_trace=False)


def _graph(net: nn.Module, image: torch.Tensor) -> Any:
    return torch.export.export(net, (image,))


def _run(model: Any, image: torch.Tensor) -> torch.Tensor:
    import openvino

    compiled = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return torch.from_numpy(compiled([image.numpy()])[compiled.output(0)].copy())
